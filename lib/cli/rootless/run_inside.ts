// SPDX-License-Identifier: Apache-2.0

/**
 * Runs a program where it may mount: in a user namespace if it may not here, and in any case with mounts of its own, which end
 * with it.
 *
 * @module
 */

import { StorageError } from "../../errors.ts";
import type { Logger } from "../../log.ts";
import { SignalForwarder } from "../signal_forwarder.ts";
import { mayMount } from "./ordinary_user.ts";
import { startTool } from "./start_tool.ts";
import { UserNamespace } from "./user_namespace.ts";

/** Set for all that runs in a namespace of ours. It is not for people. */
const MARK_VARIABLE = "LAMINA_USER_NAMESPACE";

/**
 * Runs `program` with the standard streams of this process, and waits for it.
 *
 * @param env Variables that are added to the environment.
 * @returns What it ended with, or 128 + N after signal N.
 * @throws {StorageError} `permission_denied`, `not_supported`, `invalid_argument`: see {@linkcode UserNamespace.make}.
 */
export async function runInside(
  program: readonly string[],
  env: Readonly<Record<string, string>>,
  logger: Logger,
): Promise<number> {
  if (mayMount()) return await runWithOwnMounts([], program, env);
  // Who is not root in our own namespace would enter one in the other for ever.
  if (Deno.env.has(MARK_VARIABLE)) {
    throw new StorageError(
      "permission_denied",
      `Cannot enter a user namespace as user ${Deno.uid()}: this is one of lamina's already, and its root is another user`,
      { hint: "run as root there" },
    );
  }
  await using namespace = await UserNamespace.make(logger);
  return await runWithOwnMounts(namespace.entering, program, { ...env, [MARK_VARIABLE]: "1" });
}

/** Mounts made outside from now on can be seen inside, but not the other way round. */
const OWN_MOUNTS = ["unshare", "--mount", "--propagation", "slave", "--"];

async function runWithOwnMounts(
  entering: readonly string[],
  program: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const streams = { stdin: "inherit", stdout: "inherit", stderr: "inherit" } as const;
  // It listens from before there is a program: one that says it is ready may be sent a signal at once.
  using signals = new SignalForwarder();
  const child = startTool([...entering, ...OWN_MOUNTS, ...program], { env, ...streams });
  signals.forwardTo(child);
  return (await child.status).code;
}

/** The words that run this program with `args`; a namespace can only be entered by a new process. */
export function programItself(args: readonly string[]): string[] {
  if (Deno.build.standalone) return [Deno.execPath(), ...args];
  // This process has loaded all that it needs, from wherever it came.
  const options = ["--quiet", "--no-config", "--no-lock", "--no-prompt", "--no-check", "--cached-only", "--allow-all"];
  return [Deno.execPath(), "run", ...options, Deno.mainModule, ...args];
}

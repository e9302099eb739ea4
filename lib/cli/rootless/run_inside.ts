// SPDX-License-Identifier: Apache-2.0

/**
 * Runs a program where it may mount: in a user namespace if it may not here, and in any case with mounts of its own, which end
 * with it.
 *
 * @module
 */

import { StorageError } from "../../errors.ts";
import type { Logger } from "../../log.ts";
import { mayMount } from "./ordinary_user.ts";
import { startTool } from "./start_tool.ts";
import { UserNamespace } from "./user_namespace.ts";

/** Set for all that runs in a namespace of ours. It is not for people. */
const MARK_VARIABLE = "LAMINA_USER_NAMESPACE";

/** What comes from somebody else than the terminal goes to the program. */
const SIGNALS = ["SIGHUP", "SIGTERM", "SIGUSR1", "SIGUSR2"] as const satisfies readonly Deno.Signal[];
/** What a terminal sends to the program as well. */
const TERMINAL_SIGNALS = ["SIGINT", "SIGQUIT"] as const satisfies readonly Deno.Signal[];

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
  signals.child = startTool([...entering, ...OWN_MOUNTS, ...program], { env, ...streams });
  return (await signals.child.status).code;
}

/** Sends what is sent to this process to a child. */
class SignalForwarder implements Disposable {
  /** There is one before this process comes to read its signals. */
  child: Deno.ChildProcess | undefined;
  readonly #isFromTerminal = Deno.stdin.isTerminal();
  readonly #listeners = new Map<Deno.Signal, () => void>();

  constructor() {
    for (const signal of SIGNALS) this.#listen(signal, () => this.#send(signal));
    for (const signal of TERMINAL_SIGNALS) this.#listen(signal, () => this.#isFromTerminal || this.#send(signal));
  }

  #listen(signal: Deno.Signal, listener: () => void): void {
    Deno.addSignalListener(signal, listener);
    this.#listeners.set(signal, listener);
  }

  #send(signal: Deno.Signal): void {
    try {
      this.child?.kill(signal);
    } catch (error) {
      // It has ended just now.
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const [signal, listener] of this.#listeners) Deno.removeSignalListener(signal, listener);
  }
}

/** The words that run this program with `args`; a namespace can only be entered by a new process. */
export function programItself(args: readonly string[]): string[] {
  if (Deno.build.standalone) return [Deno.execPath(), ...args];
  // This process has loaded all that it needs, from wherever it came.
  const options = ["--quiet", "--no-config", "--no-lock", "--no-prompt", "--no-check", "--cached-only", "--allow-all"];
  return [Deno.execPath(), "run", ...options, Deno.mainModule, ...args];
}

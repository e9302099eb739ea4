// SPDX-License-Identifier: Apache-2.0

/**
 * Running a program with a directory as its root, in a mount namespace and a process namespace of its own.
 *
 * unshare(1) starts this program once more, as the first process of the new process namespace. That one makes the directory
 * its root, starts the program, and passes signals on to it: they would do nothing to a program that is the first process
 * itself. When it ends, the kernel ends all that the program left running.
 *
 * @module
 */

import { constants } from "node:os";
import { StorageError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { enterRoot } from "../mount/enter_root.ts";
import { readTextFileIfExists } from "../util/read_file.ts";
import { programItself } from "./rootless/run_inside.ts";
import { startTool } from "./rootless/start_tool.ts";
import { SignalForwarder } from "./signal_forwarder.ts";

/** Names the new root to the process that is to enter it. It is not for people. */
const ROOT_VARIABLE = "LAMINA_RUN_IN";

/** As shells have it. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;

/** What unshare(1) is told. The layer's mount is seen inside, but no mount that is made inside can be seen outside. */
const NAMESPACES = ["unshare", "--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--"];

/** What the program finds in its environment, beside the terminal's kind. */
const ENVIRONMENT = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root" } as const;

/** How often is looked whether a process is ready for a signal. */
const POLL_MS = 10;

/** The root that this process is to enter, if it was started for that: it is the first one of its namespace then. */
export function rootToEnter(): string | undefined {
  return Deno.pid === 1 ? Deno.env.get(ROOT_VARIABLE) : undefined;
}

/**
 * Has a new process of this program run in `root`, and waits for it.
 *
 * @param args The command line by which the new process comes to call {@linkcode runAsFirst}.
 * @returns What it ended with, or 128 + N after signal N.
 * @throws {StorageError} `not_supported`: util-linux is missing.
 */
export async function runInRoot(root: string, args: readonly string[], logger: Logger): Promise<number> {
  using signals = new SignalForwarder();
  const child = startTool([...NAMESPACES, ...programItself(args)], {
    env: { [ROOT_VARIABLE]: root },
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  });
  const send = async (signal: Deno.Signal): Promise<void> => {
    try {
      await sendToChildOf(child.pid, signal);
    } catch (error) {
      // It may have ended just now.
      logger.debug(`${signal} was not passed on: ${(error as Error).message}`);
    }
  };
  signals.forwardTo({ kill: (signal) => void send(signal) });
  return (await child.status).code;
}

/**
 * Sends a signal to the one child of `pid`, when that listens to it: until then the kernel keeps the signal from the first
 * process of a namespace.
 */
async function sendToChildOf(pid: number, signal: Deno.Signal): Promise<void> {
  for (;;) {
    const children = readTextFileIfExists(`/proc/${pid}/task/${pid}/children`);
    if (children === undefined) return;
    const [first] = children.split(" ", 1);
    if (first !== undefined && first !== "" && listensTo(first, signal)) return Deno.kill(Number(first), signal);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function listensTo(pid: string, signal: Deno.Signal): boolean {
  const status = readTextFileIfExists(`/proc/${pid}/status`) ?? "";
  const caught = BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  const number = constants.signals[signal as keyof typeof constants.signals];
  return (caught >> BigInt(number - 1) & 1n) === 1n;
}

/**
 * Enters `root`, for good, and runs `program` there.
 *
 * @returns What it ended with, or 128 + N after signal N; 126 and 127 if it cannot be run, after `tell` was called.
 * @throws {StorageError} `permission_denied`, `not_supported`.
 */
export async function runAsFirst(
  root: string,
  [program, ...args]: readonly string[],
  tell: (error: StorageError) => void,
): Promise<number> {
  using signals = new SignalForwarder();
  enterRoot(root);
  let child: Deno.ChildProcess;
  try {
    const term = Deno.env.get("TERM");
    child = new Deno.Command(program!, {
      args,
      clearEnv: true,
      env: { ...ENVIRONMENT, ...(term === undefined ? {} : { TERM: term }) },
      stdin: "inherit",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
  } catch (cause) {
    const isMissing = cause instanceof Deno.errors.NotFound;
    const why = isMissing ? "there is no such program in the layer" : (cause as Error).message;
    tell(new StorageError("invalid_argument", `Cannot run ${JSON.stringify(program)}: ${why}`, { cause }));
    return isMissing ? NOT_FOUND : NOT_EXECUTABLE;
  }
  signals.forwardTo(child);
  return (await child.status).code;
}

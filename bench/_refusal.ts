// SPDX-License-Identifier: Apache-2.0

/**
 * Reasons not to begin, and the number that stands for each.
 *
 * @module
 */

import { isStorageError } from "../lib/errors.ts";

/** Numbers to end with, in the meaning of lib/cli/exit_code.ts, which brings packages along that the demo can do without. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  notSupported: 5,
  noSpace: 7,
  permission: 8,
  aborted: 130,
} as const;

/** One clear line and the number to end with. */
export class Refusal extends Error {
  readonly exitNumber: number;

  constructor(exitNumber: number, message: string) {
    super(message);
    this.name = "Refusal";
    this.exitNumber = exitNumber;
  }
}

/** @throws {Refusal} This is not Linux, or the user is not root; `task` is what to run instead. */
export function refuseUnfitUsers(task: string): void {
  if (Deno.build.os !== "linux") {
    throw new Refusal(EXIT.notSupported, `overlay mounts need Linux, this is ${Deno.build.os}`);
  }
  if (Deno.uid() !== 0) {
    const run = `sudo ${Deno.execPath()} task ${task}`;
    throw new Refusal(EXIT.permission, `mounts and owners need root, this is user ${Deno.uid()}; run: ${run}`);
  }
}

/** Says on stderr what went wrong; the number to end with. */
export function explain(program: string, error: unknown): number {
  // Who reads our output went away, as `head` does.
  if (error instanceof Deno.errors.BrokenPipe) return EXIT.failed;
  const message = error instanceof Error ? error.message : String(error);
  const hint = isStorageError(error) && error.hint !== undefined ? `${program}: hint: ${error.hint}\n` : "";
  Deno.stderr.writeSync(new TextEncoder().encode(`${program}: error: ${message}\n${hint}`));
  return error instanceof Refusal ? error.exitNumber : EXIT.failed;
}

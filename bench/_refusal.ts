// SPDX-License-Identifier: Apache-2.0

/**
 * Reasons not to begin, and the number that stands for each.
 *
 * @module
 */

import { isStorageError } from "../lib/errors.ts";
import { readTextFile } from "../lib/util/read_file.ts";

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

/** The largest id that files are given to, which is also nobody's. */
const LARGEST_OWNER = 65534;

/** @throws {Refusal} This is not Linux, or the user is not root with ids for others; `task` is what to run instead. */
export function refuseUnfitUsers(task: string): void {
  if (Deno.build.os !== "linux") {
    throw new Refusal(EXIT.notSupported, `overlay mounts need Linux, this is ${Deno.build.os}`);
  }
  const run = `sudo ${Deno.execPath()} task ${task}`;
  if (Deno.uid() !== 0) {
    throw new Refusal(EXIT.permission, `mounts and owners need root, this is user ${Deno.uid()}; run: ${run}`);
  }
  if (!isMapped(LARGEST_OWNER, "uid") || !isMapped(LARGEST_OWNER, "gid")) {
    const lines = "65536 ids in /etc/subuid and /etc/subgid, and newuidmap";
    throw new Refusal(EXIT.permission, `files of other users need root, or ${lines}; run: ${run}`);
  }
}

/** Whether the user namespace of this process has a number for `id`. */
function isMapped(id: number, kind: "uid" | "gid"): boolean {
  return readTextFile(`/proc/self/${kind}_map`).trim().split("\n").some((line) => {
    const [first, , size] = line.trim().split(/\s+/).map(Number) as [number, number, number];
    return id >= first && id < first + size;
  });
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

// SPDX-License-Identifier: Apache-2.0

/**
 * Reasons not to begin.
 *
 * @module
 */

import { EXIT, type ExitNumber } from "../lib/cli/exit_code.ts";

/** One clear line and the number to end with, in the meaning that the CLI gives it. */
export class Refusal extends Error {
  readonly exitNumber: ExitNumber;

  constructor(exitNumber: ExitNumber, message: string) {
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

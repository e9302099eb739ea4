// SPDX-License-Identifier: Apache-2.0

/**
 * From the start of a bench to its end, Ctrl-C included.
 *
 * @module
 */

import { Interruption } from "./_interruption.ts";
import { EXIT, explain } from "./_refusal.ts";

/** Runs `work`, and says on stderr what went wrong; the number to end with. */
export async function runProgram(
  name: string,
  work: (signal: AbortSignal) => Promise<number | void>,
): Promise<number> {
  using interruption = new Interruption();
  try {
    return await work(interruption.signal) ?? EXIT.ok;
  } catch (error) {
    return interruption.signal.aborted ? EXIT.aborted : explain(name, error);
  }
}

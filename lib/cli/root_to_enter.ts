// SPDX-License-Identifier: Apache-2.0

/**
 * How `lamina run` tells another process of this program which root to enter.
 *
 * @module
 */

/** Names the new root to the process that is to enter it. It is not for people. */
export const ROOT_VARIABLE = "LAMINA_RUN_IN";

/** The root that this process is to enter, if it was started for that: it is the first one of its namespace then. */
export function rootToEnter(): string | undefined {
  return Deno.pid === 1 ? Deno.env.get(ROOT_VARIABLE) : undefined;
}

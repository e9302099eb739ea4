// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina help`: how lamina is used.
 *
 * @module
 */

import type { CommandOf } from "../args.ts";
import type { Context } from "../context.ts";
import { commandHelp, generalHelp } from "../help.ts";

/** Prints the help. */
export function help({ about }: CommandOf<"help">, { output }: Context): void {
  output.print(about === undefined ? generalHelp() : commandHelp(about));
}

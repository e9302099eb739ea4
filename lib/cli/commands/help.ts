// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina help`: how lamina is used.
 *
 * @module
 */

import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { commandHelp, exitHelp, generalHelp, optionsHelp } from "../help.ts";

/** Prints the help. */
export function help({ about }: CommandOf<"help">, { output }: Context): void {
  output.print(textAbout(about));
}

function textAbout(about: CommandOf<"help">["about"]): string {
  switch (about) {
    case undefined:
      return generalHelp();
    case "options":
      return optionsHelp();
    case "exit":
      return exitHelp();
    default:
      return commandHelp(about);
  }
}

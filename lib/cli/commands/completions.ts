// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina completions`: scripts that complete commands, options and layer ids.
 *
 * @module
 */

import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { bashCompletion } from "../shells/bash.ts";
import { fishCompletion } from "../shells/fish.ts";
import { zshCompletion } from "../shells/zsh.ts";

const SCRIPTS: Readonly<Record<CommandOf<"completions">["shell"], () => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** Prints the script for a shell. */
export function completions({ shell }: CommandOf<"completions">, { output }: Context): void {
  output.print(SCRIPTS[shell]());
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina man`: manual pages.
 *
 * @module
 */

import { OutputFile } from "../../util/open_file.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { commandPage, mainPage, manPages } from "../man_page.ts";

/** Prints a page, or writes all of them into a directory. */
export function man({ about, directory }: CommandOf<"man">, { output }: Context): void {
  if (directory === undefined) return output.print(about === undefined ? mainPage() : commandPage(about));
  const encoder = new TextEncoder();
  for (const { file, text } of manPages()) {
    using page = OutputFile.open(`${directory}/${file}`);
    page.write(encoder.encode(text));
    page.commit();
  }
}

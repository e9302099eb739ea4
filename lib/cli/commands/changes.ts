// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina changes`: the paths that a layer changes.
 *
 * @module
 */

import type { ChangeKind } from "../../drivers/driver.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { idMapsOption } from "../id_map_options.ts";
import { withProgress } from "../progress.ts";

/** The letters of `docker diff`. */
const LETTERS: Readonly<Record<ChangeKind, string>> = { add: "A", modify: "C", delete: "D" };

/** Lists changes, one path a line. */
export async function changes(command: CommandOf<"changes">, context: Context): Promise<void> {
  const { id, comparedWith, compareXattrs, compareContent, idMaps } = command;
  const { output } = context;
  const driver = await context.openDriver();
  const parent = comparedWith === undefined ? {} : { parent: comparedWith };
  const options = { ...parent, compareXattrs, compareContent, ...idMapsOption(idMaps) };
  const list = await withProgress(output, (work) => driver.changes(id, { ...options, ...work }));
  if (output.json) output.printJson(list);
  else output.printLines(list.map(({ path, kind }) => `${LETTERS[kind]} ${path}`));
}

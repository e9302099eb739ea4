// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina size`: how much a layer adds.
 *
 * @module
 */

import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { idMapsOption } from "../id_map_options.ts";
import { withProgress } from "../progress.ts";

/** Prints bytes. */
export async function size(command: CommandOf<"size">, context: Context): Promise<void> {
  const { id, comparedWith, compareXattrs, compareContent, idMaps } = command;
  const { output } = context;
  const driver = await context.openDriver();
  const parent = comparedWith === undefined ? {} : { parent: comparedWith };
  const options = { ...parent, compareXattrs, compareContent, ...idMapsOption(idMaps) };
  const sizeBytes = await withProgress(output, (work) => driver.diffSize(id, { ...options, ...work }));
  if (output.json) output.printJson({ id, sizeBytes });
  else output.printLines([String(sizeBytes)]);
}

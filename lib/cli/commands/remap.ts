// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina remap`: gives the files of a layer to other ids.
 *
 * @module
 */

import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { idMapsOf } from "../id_map_options.ts";
import { withProgress } from "../progress.ts";

/** Changes owners. */
export async function remap({ id, from, to }: CommandOf<"remap">, { output, openDriver }: Context): Promise<void> {
  const [before, after] = [from, to].map((maps) => maps && idMapsOf(maps));
  const driver = await openDriver();
  await withProgress(output, (work) => driver.updateLayerIdMap(id, before, after, work));
  if (output.json) output.printJson({ id });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina ls`: lists layers.
 *
 * @module
 */

import { type Context, layerJson, listLayers } from "../context.ts";

/** Lists layers, one id a line. */
export async function ls({ output, openDriver }: Context): Promise<void> {
  const layers = await listLayers(await openDriver());
  if (output.json) output.printJson(layers.map(layerJson));
  else output.printLines(layers.map(({ id }) => id));
}

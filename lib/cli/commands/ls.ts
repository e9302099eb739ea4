// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina ls`: lists layers.
 *
 * @module
 */

import { type Context, layerJson, listLayers } from "../context.ts";
import { ownersLabel } from "../docker_names.ts";

/** Lists layers, one id a line, with what dockerd calls them where that is known. */
export async function ls({ output, openDriver, docker }: Context): Promise<void> {
  const layers = await listLayers(await openDriver());
  const names = await docker();
  if (output.json) output.printJson(layers.map((layer) => layerJson(layer, names)));
  else output.printLines(layers.map(({ id }) => `${id}${ownersLabel(names?.ownersOf(id))}`));
}

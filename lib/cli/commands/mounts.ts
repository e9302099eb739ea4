// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina mounts`: which layers are mounted, and where.
 *
 * @module
 */

import { type Context, listLayers } from "../context.ts";

/** Lists mounted layers. */
export async function mounts({ output, openDriver }: Context): Promise<void> {
  const driver = await openDriver();
  const mounted: { id: string; path: string }[] = [];
  for (const layer of await listLayers(driver)) {
    if (layer.mounted) mounted.push({ id: layer.id, path: (await driver.getMetadata(layer.id)).mergedDir });
  }
  if (output.json) output.printJson(mounted);
  else output.printLines(mounted.map(({ id, path }) => `${id}  ${path}`));
}

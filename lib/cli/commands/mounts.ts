// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina mounts`: which layers are mounted, and where.
 *
 * @module
 */

import { type Context, listLayers } from "../context.ts";

/** Lists mounted layers, and then what is shown at places of the user's choice. */
export async function mounts({ output, openDriver }: Context): Promise<void> {
  const driver = await openDriver();
  const mounted: { id: string; path: string }[] = [];
  for (const layer of await listLayers(driver)) {
    if (layer.mounted) mounted.push({ id: layer.id, path: (await driver.getMetadata(layer.id)).mergedDir });
  }
  const views = await driver.views();
  if (output.json) {
    // A view has an id as well, that of its uppermost layer, for who asks for nothing else.
    output.printJson([...mounted, ...views.map((view) => ({ id: view.ids[0], ...view }))]);
    return;
  }
  output.printLines([
    ...mounted.map(({ id, path }) => `${id}  ${path}`),
    ...views.map(({ ids, path }) => `${ids.join(",")}  ${path}`),
  ]);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina cleanup`: unmounts everything, and clears away what interrupted commands left.
 *
 * @module
 */

import { type Context, listLayers } from "../context.ts";

/** Unmounts every view and every layer of the store, whoever mounted it, and removes what is left over. */
export async function cleanup({ output, openDriver }: Context): Promise<void> {
  const driver = await openDriver();
  const mounted = (await listLayers(driver)).filter((layer) => layer.mounted).map(({ id }) => id);
  const views = (await driver.views()).map(({ path }) => path);
  await driver.cleanup();
  const removed = await driver.sweep();
  if (output.json) output.printJson({ unmounted: mounted, views, removed });
}

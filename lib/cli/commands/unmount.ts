// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina unmount`: takes mounts back.
 *
 * @module
 */

import type { CommandOf } from "../args.ts";
import { type Context, findLayer, layerNotFound } from "../context.ts";

/** More users than any layer has; a mount that survives so many is not held by counting. */
const MOST_PUTS = 1000;

/** Takes one mount back, with `force` all of them. */
export async function unmount({ id, force }: CommandOf<"unmount">, { output, openDriver }: Context): Promise<void> {
  const driver = await openDriver();
  if (!await driver.exists(id)) throw layerNotFound("unmount", id);
  await driver.put(id);
  let layer = await findLayer(driver, id);
  for (let puts = 1; force && layer?.mounted && puts < MOST_PUTS; puts++) {
    await driver.put(id);
    layer = await findLayer(driver, id);
  }
  if (output.json) output.printJson({ id, mounted: layer?.mounted ?? false });
}

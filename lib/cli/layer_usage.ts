// SPDX-License-Identifier: Apache-2.0

/**
 * What layers occupy, for the commands that tell it.
 *
 * @module
 */

import type { DiskUsage, GraphDriver } from "../drivers/driver.ts";
import type { Output } from "./output.ts";
import { withProgress } from "./progress.ts";

/** Measures all layers, or those of `ids`, and warns of what is not in the figures. */
export async function measureLayers(
  driver: GraphDriver,
  output: Output,
  ids?: readonly string[],
): Promise<DiskUsage> {
  const asked = ids === undefined ? {} : { ids };
  const usage = await withProgress(output, (work) => driver.usage({ ...asked, ...work }));
  for (const { id, unreadable } of usage.layers) {
    for (const { path, reason } of unreadable) output.logger.warn(`cannot read ${path} of layer "${id}": ${reason}`);
  }
  return usage;
}

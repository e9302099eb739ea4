// SPDX-License-Identifier: Apache-2.0

/**
 * What layers occupy on the disk.
 *
 * @module
 */

import { parseLayerId } from "../layer_id.ts";
import type { DriverHome } from "./_driver_home.ts";
import type { DiskUsage, UsageOptions } from "./layer_info.ts";

/**
 * `usage` of the interface.
 *
 * @throws {StorageError} `layer_not_found`.
 */
export async function usageOf(home: DriverHome, { ids, ...work }: UsageOptions): Promise<DiskUsage> {
  const measured = ids === undefined ? home.layout.layerIds() : [...new Set(ids.map(parseLayerId))];
  if (ids !== undefined) measured.forEach((id) => home.requireLayer(id));
  const directories = measured.map((id) => home.layout.contentDir(id));
  const { trees, total } = await home.runner.run("usage", { directories }, work);
  return { layers: trees.map((tree, i) => ({ id: measured[i]!, ...tree })), total };
}

// SPDX-License-Identifier: Apache-2.0

/**
 * A store with a layer, `base`, for the jobs that read layers, and one on top of it, `delta`, for those that compare.
 *
 * @module
 */

import { openForReading } from "../lib/util/open_file.ts";
import { openDriver, type Progress } from "../mod.ts";

/** Where a bench keeps a store within `directory`. */
export function storeIn(directory: string): { root: string; runRoot: string } {
  return { root: `${directory}/store`, runRoot: `${directory}/run` };
}

/**
 * Unpacks `archive` to the layer `base` of the store in `directory`, or to `delta` if that has one already; the layer's
 * own files, and how much it was.
 */
export async function prepareStore(directory: string, archive: string): Promise<{ tree: string; amount: Progress }> {
  await using driver = await openDriver({ ...storeIn(directory), work: "in-place" });
  using input = openForReading(archive);
  const isSecond = await driver.exists("base");
  const id = isSecond ? "delta" : "base";
  await driver.create(id, isSecond ? { parent: "base" } : {});
  const amount = await driver.applyDiff(id, { fd: input.fd });
  return { tree: (await driver.getMetadata(id)).upperDir, amount };
}

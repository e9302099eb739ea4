// SPDX-License-Identifier: Apache-2.0

/**
 * Layers that are made as a whole: of a root file system, or of several layers. They are not there if that fails. All of it
 * is done by a driver's own methods, so that it is the same on a store of one's own and on that of an agent.
 *
 * The other way, out of a layer, is `driver.diff(id, { whole: true })`.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { type Logger, SILENT } from "../log.ts";
import type { ApplyOptions, ApplyResult, FileDescriptor, GraphDriver, WorkOptions } from "./driver.ts";

/** How a layer is imported. */
export interface ImportOptions extends Omit<ApplyOptions, "parent"> {
  /** The layer below; left out, the new one is a base layer. */
  parent?: string;
  /** Told if a layer that could not be filled cannot be removed either. */
  logger?: Logger;
}

/**
 * Makes the layer `id` of a tar: plain, gzip or zstd, recognised by content. If that fails, there is no such layer.
 *
 * @throws {StorageError} `layer_exists`, and what `create` and `applyDiff` throw.
 *
 * @example
 * ```ts ignore
 * import { importLayer, openDriver } from "lamina";
 *
 * await using driver = await openDriver({ root: "/var/lib/my-runner", runRoot: "/run/my-runner" });
 * using rootfs = await Deno.open("rootfs.tar.gz");
 * await importLayer(driver, "base", rootfs.readable);
 * ```
 */
export async function importLayer(
  driver: GraphDriver,
  id: string,
  archive: ReadableStream<Uint8Array> | FileDescriptor,
  { parent, logger = SILENT, ...options }: ImportOptions = {},
): Promise<ApplyResult> {
  return await fillNewLayer(driver, id, { parent, logger }, () => driver.applyDiff(id, archive, options));
}

/** How layers are made into one. */
export interface SquashOptions extends WorkOptions {
  /** The layer on which the new one is to lie, which the squashed one lies on as well; left out, the new one is a base layer. */
  parent?: string;
  /** As in {@linkcode ImportOptions}. */
  logger?: Logger;
}

/**
 * Makes the layer `newId`, which shows what the layer `id` shows, and is but one layer above `parent`. The layer `id` and
 * those below it stay. What is in them goes from a diff to the new layer within this process; sockets, which no archive can
 * hold, stay behind. If that fails, there is no new layer.
 *
 * @throws {StorageError} `layer_not_found`; `parent_not_found`; `invalid_argument`: `id` does not lie on `parent`;
 * `layer_exists`, and what `diff` and `applyDiff` throw.
 *
 * @example All that was done to `base` since, in one layer
 * ```ts ignore
 * await squashLayer(driver, "job-9", "release", { parent: "base" });
 * ```
 */
export async function squashLayer(
  driver: GraphDriver,
  id: string,
  newId: string,
  { parent, logger = SILENT, ...work }: SquashOptions = {},
): Promise<ApplyResult> {
  await requireBelow(driver, id, parent);
  // A file may have been rewritten with its size and its time left as they were.
  const compared = parent === undefined ? { whole: true } : { parent, compareContent: true };
  const { signal } = work;
  return await fillNewLayer(driver, newId, { parent, logger }, async () => {
    const diff = await driver.diff(id, { ...compared, ...(signal === undefined ? {} : { signal }) });
    try {
      return await driver.applyDiff(newId, diff, work);
    } catch (error) {
      // It may not have been read to its end, or not at all, and would wait for that.
      await diff.cancel().catch(() => {});
      throw error;
    }
  });
}

/** Makes the layer `id` and has it filled; if that fails, it is removed again. */
async function fillNewLayer<T>(
  driver: GraphDriver,
  id: string,
  { parent, logger }: { parent: string | undefined; logger: Logger },
  fill: () => Promise<T>,
): Promise<T> {
  await driver.create(id, parent === undefined ? {} : { parent });
  try {
    return await fill();
  } catch (error) {
    // What made it fail is the error to tell.
    await driver.remove(id).catch((failure: Error) => logger.warn(`layer "${id}" stays, empty: ${failure.message}`));
    throw error;
  }
}

/** Makes sure that the layer `id` lies on `parent`, if that is given. */
async function requireBelow(driver: GraphDriver, id: string, parent: string | undefined): Promise<void> {
  const parents = new Map<string, string | undefined>();
  for await (const layer of driver.layers()) parents.set(layer.id, layer.parent);
  const action = `Cannot squash layer ${JSON.stringify(id)}`;
  if (!parents.has(id)) throw new StorageError("layer_not_found", `${action}: there is no such layer`);
  if (parent === undefined) return;
  if (!parents.has(parent)) {
    throw new StorageError("parent_not_found", `${action}: there is no layer ${JSON.stringify(parent)}`);
  }
  const seen = new Set([id]);
  for (let below = parents.get(id); below !== undefined && !seen.has(below); below = parents.get(below)) {
    if (below === parent) return;
    seen.add(below);
  }
  throw new StorageError("invalid_argument", `${action} above ${JSON.stringify(parent)}: it does not lie on that`, {
    hint: "`lamina tree` shows which layer lies on which",
  });
}

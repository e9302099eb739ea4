// SPDX-License-Identifier: Apache-2.0

/**
 * A layer's manifest: what was in it once, as lib/archive/manifest.ts describes. It lies beside the content, in
 * `HOME/<id>/.lamina-manifest`, where Docker and containers/storage neither look nor mind.
 *
 * @module
 */

import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "../../ffi/file.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import type { ManifestDifference } from "../archive/manifest.ts";
import { isStorageError, StorageError } from "../errors.ts";
import { replaceFile, StagedFile } from "../util/atomic_write.ts";
import { readTextFileIfExists } from "../util/read_file.ts";
import type { DriverHome } from "./_driver_home.ts";
import type { WorkOptions } from "./work_options.ts";

/** Its name. */
export const MANIFEST = ".lamina-manifest";
const MODE = 0o600;
/** No text can be longer; a file takes some hundred bytes. */
const MOST_BYTES = 512 * 1024 * 1024;

function pathOf(home: DriverHome, id: string): string {
  return `${home.layout.dir(id)}/${MANIFEST}`;
}

/** Writes down what is in the layer `id` now. */
export async function recordManifest(home: DriverHome, id: string, work: WorkOptions): Promise<void> {
  home.requireLayer(id);
  home.requireWhole(id);
  requireFile(id, pathOf(home, id));
  const text = await home.runner.run("manifest", { directory: home.layout.contentDir(id) }, work);
  using _lock = await home.lock(id);
  replaceFile(pathOf(home, id), text, MODE, home.sync.isOn);
}

/**
 * Writes down what is in `directory`, which will be the layer's content; it counts when it is put in place. The caller has
 * an apply to the layer begun, without which a check would take it for left over.
 */
export async function stageManifest(
  home: DriverHome,
  id: string,
  directory: string,
  work: WorkOptions,
): Promise<StagedFile> {
  const text = await home.runner.run("manifest", { directory }, work);
  return new StagedFile(pathOf(home, id), text, MODE, home.sync.isOn);
}

/**
 * What is not as the layer's manifest says; undefined where it has none.
 *
 * @throws {StorageError} `layer_not_found`, `store_damaged`: the manifest is not whole.
 */
export async function verifyLayer(
  home: DriverHome,
  id: string,
  work: WorkOptions,
): Promise<ManifestDifference[] | undefined> {
  home.requireLayer(id);
  const path = pathOf(home, id);
  requireFile(id, path);
  const manifest = readTextFileIfExists(path);
  if (manifest === undefined) return undefined;
  home.requireWhole(id);
  try {
    return await home.runner.run("verify", { directory: home.layout.contentDir(id), manifest }, work);
  } catch (error) {
    if (!isStorageError(error, "store_damaged")) throw error;
    throw new StorageError("store_damaged", `Cannot verify layer "${id}": ${path} is no whole manifest`, {
      cause: error,
      hint: `if its content is right, make a new one: lamina verify --record ${id}`,
    });
  }
}

/** A named pipe would keep its reader waiting, and what is longer than any text would fill the memory first. */
function requireFile(id: string, path: string): void {
  const stat = new Stat();
  if (tryStatx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, stat) !== 0) return;
  const fault = !stat.isFile ? "is no regular file" : stat.size > MOST_BYTES ? `has ${stat.size} bytes` : undefined;
  if (fault === undefined) return;
  throw new StorageError("store_damaged", `Cannot use the manifest of layer "${id}": ${path} ${fault}`, {
    hint: `if the layer's content is right, move that away and make a new one: lamina verify --record ${id}`,
  });
}

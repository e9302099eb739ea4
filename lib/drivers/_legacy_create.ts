// SPDX-License-Identifier: Apache-2.0

/**
 * Making and removing layers of Docker's legacy `overlay`. Both work on a name that is no layer's: a new layer is built
 * aside and renamed into place, an old one is renamed aside and then deleted. So a layer is there as a whole, or not at
 * all.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, RENAME_NOREPLACE, renameat2, tryUnlinkat } from "../../ffi/file.ts";
import { lutimesat } from "../../ffi/owner.ts";
import { statat } from "../../ffi/stat.ts";
import { asStorageError, StorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import { replaceFile, writeNewFile } from "../util/atomic_write.ts";
import { lockDirectory, tryLockDirectory } from "../util/directory_lock.ts";
import { randomId } from "../util/random_id.ts";
import { unmountStaged } from "./_legacy_content.ts";
import type { LegacyHome } from "./_legacy_home.ts";
import { makeOwnedDirectory, type Owner } from "./_owner.ts";
import type { RemoveOptions } from "./driver.ts";

const LAYER_MODE = 0o700;
const ROOT_MODE = 0o755;
const WORK_MODE = 0o700;
const MERGED_MODE = 0o700;
const LOWER_ID_MODE = 0o644;
const OUR_FILE_MODE = 0o600;

/** Fills the directory `staging`, which becomes the layer. */
type Build = (staging: string, owner: Owner) => void | Promise<void>;

/** Makes the layer `id`, empty, on `parent`. */
export async function createLayer(
  home: LegacyHome,
  id: string,
  parent: string | undefined,
  idMaps: IdMaps | undefined,
): Promise<void> {
  if (parent === undefined) {
    return await buildLayer(
      home,
      id,
      undefined,
      idMaps,
      (staging, owner) => makeOwnedDirectory(`${staging}/root`, ROOT_MODE, owner),
    );
  }
  await buildLayer(home, id, parent, idMaps, async (staging, owner) => {
    home.requireWhole(parent);
    if (!home.layout.isImage(parent)) return await copyMounted(home, staging, parent, parent, owner);
    makeUpper(home, staging, parent, owner, idMaps);
    makeRest(staging, parent, owner);
  });
}

/** Makes the layer `id` with the content and the parent of `template`. */
export async function copyLayer(
  home: LegacyHome,
  id: string,
  template: string,
  idMaps: IdMaps | undefined,
): Promise<void> {
  const { layout } = home;
  home.requireLayer(template);
  home.requireWhole(template);
  const parent = layout.parentOf(template);
  await buildLayer(home, id, parent, idMaps, async (staging, owner) => {
    if (!layout.isImage(template)) {
      return await copyMounted(home, staging, template, layout.recordedParent(template), owner);
    }
    makeOwnedDirectory(`${staging}/root`, ROOT_MODE, owner);
    // A base layer is shown as it lies, and what is written there must not change the template.
    const mode = parent === undefined ? "copy" : "link";
    await home.runner.run("copy", { source: layout.rootDir(template), target: `${staging}/root`, mode });
    if (parent !== undefined) writeNewFile(`${staging}/.lamina-parent`, parent, OUR_FILE_MODE);
  });
}

/** Builds a layer aside and puts it in place. */
async function buildLayer(
  home: LegacyHome,
  id: string,
  parent: string | undefined,
  idMaps: IdMaps | undefined,
  build: Build,
): Promise<void> {
  home.prepare();
  const { layout } = home;
  if (layout.exists(id)) throw layerExists(home, id);
  // The parent's lock keeps it from being removed until the child is there to be seen.
  using _parentLock = parent === undefined ? undefined : await lockParent(home, parent);
  await using undo = new AsyncDisposableStack();
  const staging = `.lamina-create-${randomId(10)}`;
  try {
    const owner = home.owner(idMaps);
    makeOwnedDirectory(`${layout.home}/${staging}`, LAYER_MODE, owner);
    undo.defer(() => home.runner.run("remove", { directory: layout.home, name: staging }));
    await build(`${layout.home}/${staging}`, owner);
    if (parent !== undefined && !layout.isCommitted(parent)) {
      replaceFile(layout.committedFile(parent), "", OUR_FILE_MODE);
      undo.defer(() => void tryUnlinkat(AT_FDCWD, layout.committedFile(parent)));
    }
    renameat2(AT_FDCWD, `${layout.home}/${staging}`, AT_FDCWD, layout.dir(id), RENAME_NOREPLACE);
    undo.move();
  } catch (error) {
    if (isErrno(error, "EEXIST") && layout.exists(id)) throw layerExists(home, id);
    throw asStorageError(error, `Cannot make layer "${id}"`);
  }
}

async function lockParent(home: LegacyHome, parent: string): Promise<Disposable> {
  const lock = await lockDirectory(home.layout.dir(parent), "exclusive");
  if (lock !== undefined) return lock;
  throw new StorageError("parent_not_found", `There is no layer "${parent}" in ${home.layout.home} to be the parent`, {
    hint: "lamina ls lists the layers",
  });
}

/** A mount shows the root as its upper directory has it: a parent's own mode, owner and time must not get lost. */
function makeUpper(
  home: LegacyHome,
  staging: string,
  parent: string,
  owner: Owner,
  idMaps: IdMaps | undefined,
): void {
  const root = statat(AT_FDCWD, home.layout.rootDir(parent));
  const inherited = idMaps === undefined ? { uid: root.uid, gid: root.gid } : owner;
  makeOwnedDirectory(`${staging}/upper`, root.mode & 0o7777, inherited);
  lutimesat(AT_FDCWD, `${staging}/upper`, root.mtimeSeconds, root.mtimeNanoseconds);
}

/** Makes what a layer has that lies over an image, but for its content. */
function makeRest(staging: string, lowerId: string, owner: Owner): void {
  makeOwnedDirectory(`${staging}/work`, WORK_MODE, owner);
  makeOwnedDirectory(`${staging}/merged`, MERGED_MODE, owner);
  writeNewFile(`${staging}/lower-id`, lowerId, LOWER_ID_MODE);
}

/** Copies a layer that lies over an image. `lower-id` tells the parent only where that is the image itself. */
async function copyMounted(
  home: LegacyHome,
  staging: string,
  from: string,
  recordedParent: string | undefined,
  owner: Owner,
): Promise<void> {
  makeOwnedDirectory(`${staging}/upper`, ROOT_MODE, owner);
  await home.runner.run("copy", { source: home.layout.upperDir(from), target: `${staging}/upper`, mode: "copy" });
  makeRest(staging, home.layout.lowerId(from), owner);
  if (recordedParent !== undefined) writeNewFile(`${staging}/.lamina-parent`, recordedParent, OUR_FILE_MODE);
}

function layerExists(home: LegacyHome, id: string): StorageError {
  return new StorageError("layer_exists", `There is a layer "${id}" in ${home.layout.home} already`);
}

/** Makes the mount point again that unmounting took away: Docker before 1.13 mounts only where there is one. */
export function restoreMountPoint(home: LegacyHome, id: string): void {
  if (home.layout.isImage(id)) return;
  try {
    makeOwnedDirectory(home.layout.mergedDir(id), MERGED_MODE, home.owner());
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

/** Removes the layer `id`, if there is one. */
export async function removeLayer(home: LegacyHome, id: string, { force = false }: RemoveOptions): Promise<void> {
  const { layout } = home;
  const aside = `.lamina-remove-${randomId(10)}`;
  {
    using lock = await lockDirectory(layout.dir(id), "exclusive");
    if (lock === undefined) return;
    await requireUnused(home, id, force);
    try {
      renameat2(AT_FDCWD, layout.dir(id), AT_FDCWD, `${layout.home}/${aside}`, RENAME_NOREPLACE);
    } catch (error) {
      throw asStorageError(error, `Cannot remove layer "${id}"`);
    }
  }
  await home.runner.run("remove", { directory: layout.home, name: aside });
}

async function requireUnused(home: LegacyHome, id: string, force: boolean): Promise<void> {
  const child = home.layout.findChildOf(id);
  if (child !== undefined) {
    throw new StorageError("layer_in_use", `Cannot remove layer "${id}": it is the parent of "${child}"`, {
      hint: `remove the layers above it first (lamina tree shows them)`,
    });
  }
  const applying = tryLockDirectory(home.layout.applyingDir(id), "exclusive");
  if (applying === "busy") {
    throw new StorageError("layer_in_use", `Cannot remove layer "${id}": a diff is being applied to it`);
  }
  if (applying !== undefined) {
    applying[Symbol.dispose]();
    unmountStaged(home, id);
  }
  const mergedDir = home.layout.mergedDir(id);
  const state = home.mountState(id);
  if (state === "none" && !force) return home.mounts.requireNotElsewhere("remove", id, mergedDir);
  if (state === "mounted" && !force) {
    throw new StorageError("layer_in_use", `Cannot remove layer "${id}": it is mounted`, {
      hint: `unmount it first (lamina unmount ${id}), or remove it with --force`,
    });
  }
  await home.mounts.unmount(id, mergedDir);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Making and removing layers. Both work on a name that is no layer's: a new layer is built aside and
 * renamed into place, an old one is renamed aside and then deleted. So a layer is there as a whole, or not at all.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  Fd,
  O_DIRECTORY,
  O_RDONLY,
  openat,
  RENAME_NOREPLACE,
  renameat2,
  tryUnlinkat,
} from "../../ffi/file.ts";
import { lutimesat } from "../../ffi/owner.ts";
import { S_IFDIR } from "../../ffi/stat.ts";
import { asStorageError, StorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import { replaceFile, writeNewFile } from "../util/atomic_write.ts";
import { lockDirectory, tryLockDirectory } from "../util/directory_lock.ts";
import { randomId } from "../util/random_id.ts";
import { removeTree } from "../util/remove_tree.ts";
import { contentRootAt, makeContentRoot } from "./_content_rules.ts";
import type { LayerHome } from "./_layer_home.ts";
import { LINK_DIR } from "./_layer_layout.ts";
import { makeOwnedDirectory } from "./_owner.ts";
import type { RemoveOptions } from "./driver.ts";

const LINK_MODE = 0o644;
const LOWER_MODE = 0o644;
const COMMITTED_MODE = 0o600;

/** Makes the layer `id`, empty, on `parent`; with a limit on its size unless `sizeBytes` is 0. */
export async function createLayer(
  home: LayerHome,
  id: string,
  parent: string | undefined,
  idMaps: IdMaps | undefined,
  sizeBytes: number,
): Promise<void> {
  home.prepare();
  const { layout } = home;
  if (layout.exists(id)) throw layerExists(home, id);
  // The parent's lock keeps it from being removed until the child is there to be seen.
  using _parentLock = parent === undefined ? undefined : await lockParent(home, parent);
  const lowers = parent === undefined ? [] : lowersOn(home, parent);
  using undo = new DisposableStack();
  const staging = `${layout.home}/.lamina-create-${randomId(10)}`;
  try {
    makeOwnedDirectory(staging, home.format.layerMode, home.outerOwner(idMaps));
    undo.defer(() => removeAside(layout.home, staging));
    if (sizeBytes > 0) undo.use(await home.quotas.limit(staging, sizeBytes));
    const link = layout.makeLink(id);
    undo.defer(() => void tryUnlinkat(AT_FDCWD, `${layout.home}/${LINK_DIR}/${link}`));
    build(home, staging, link, lowers, parent, idMaps);
    if (home.format.marksCommitted && parent !== undefined && !layout.isCommitted(parent)) {
      replaceFile(layout.committedFile(parent), "", COMMITTED_MODE);
      undo.defer(() => void tryUnlinkat(AT_FDCWD, layout.committedFile(parent)));
    }
    renameat2(AT_FDCWD, staging, AT_FDCWD, layout.dir(id), RENAME_NOREPLACE);
    undo.move();
  } catch (error) {
    if (isErrno(error, "EEXIST") && layout.exists(id)) throw layerExists(home, id);
    throw asStorageError(error, `Cannot make layer "${id}"`);
  }
}

async function lockParent(home: LayerHome, parent: string): Promise<Disposable> {
  const lock = await lockDirectory(home.layout.dir(parent), "exclusive");
  if (lock !== undefined) return lock;
  throw new StorageError("parent_not_found", `There is no layer "${parent}" in ${home.layout.home} to be the parent`, {
    hint: "lamina ls lists the layers",
  });
}

function lowersOn(home: LayerHome, parent: string): string[] {
  home.requireWhole(parent);
  const lowers = home.layout.lowersForChildOf(parent);
  if (lowers.length <= home.format.maxDepth) return lowers;
  throw new StorageError(
    "max_depth_exceeded",
    `Cannot make a layer on "${parent}": it would lie on ${lowers.length} layers, and the limit is ${home.format.maxDepth}`,
    home.format.deeperHint === undefined ? {} : { hint: home.format.deeperHint },
  );
}

function build(
  home: LayerHome,
  staging: string,
  link: string,
  lowers: readonly string[],
  parent: string | undefined,
  idMaps: IdMaps | undefined,
): void {
  const owner = home.owner(idMaps);
  const { rules } = home;
  if (parent === undefined) {
    makeContentRoot(`${staging}/diff`, { mode: S_IFDIR | home.format.baseDiffMode, ...owner }, owner, rules);
  } else {
    // A mount shows the root as its upper directory has it: a parent's own mode, owner and time must not get lost.
    const root = contentRootAt(home.layout.diffDir(parent), rules);
    const { uid, gid } = idMaps === home.idMaps ? root : owner;
    makeContentRoot(`${staging}/diff`, { mode: root.mode, uid, gid }, owner, rules);
    lutimesat(AT_FDCWD, `${staging}/diff`, root.mtimeSeconds, root.mtimeNanoseconds);
  }
  home.format.makeDirectories(staging, parent === undefined, owner);
  writeNewFile(`${staging}/link`, link, LINK_MODE);
  if (parent !== undefined) writeNewFile(`${staging}/lower`, lowers.join(":"), LOWER_MODE);
}

function layerExists(home: LayerHome, id: string): StorageError {
  return new StorageError("layer_exists", `There is a layer "${id}" in ${home.layout.home} already`);
}

function removeAside(home: string, path: string): void {
  using directory = new Fd(openat(AT_FDCWD, home, O_RDONLY | O_DIRECTORY));
  removeTree(directory.fd, path.slice(home.length + 1));
}

/** Removes the layer `id`, if there is one. */
export async function removeLayer(home: LayerHome, id: string, { force = false }: RemoveOptions): Promise<void> {
  const { layout } = home;
  const aside = `.lamina-remove-${randomId(10)}`;
  {
    using lock = await lockDirectory(layout.dir(id), "exclusive");
    if (lock === undefined) return;
    await requireUnused(home, id, force);
    await home.quotas.release(layout.dir(id));
    try {
      const link = layout.readLink(id);
      renameat2(AT_FDCWD, layout.dir(id), AT_FDCWD, `${layout.home}/${aside}`, RENAME_NOREPLACE);
      // An empty link file would make this the name of the whole directory.
      if (link !== undefined && /^[A-Z2-7]+$/.test(link)) tryUnlinkat(AT_FDCWD, `${layout.home}/${LINK_DIR}/${link}`);
      else home.logger.warn(`layer "${id}" had no valid link file: its name in ${layout.home}/${LINK_DIR} stays`);
    } catch (error) {
      throw asStorageError(error, `Cannot remove layer "${id}"`);
    }
  }
  await home.runner.run("remove", { directory: layout.home, name: aside });
}

async function requireUnused(home: LayerHome, id: string, force: boolean): Promise<void> {
  const child = home.findChildOf(id);
  if (child !== undefined) {
    throw new StorageError("layer_in_use", `Cannot remove layer "${id}": it is the parent of "${child}"`, {
      hint: `remove the layers above it first (lamina tree shows them)`,
    });
  }
  const applying = tryLockDirectory(home.layout.applyingDir(id), "exclusive");
  if (applying === "busy") {
    throw new StorageError("layer_in_use", `Cannot remove layer "${id}": a diff is being applied to it`);
  }
  applying?.[Symbol.dispose]();
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

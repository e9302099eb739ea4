// SPDX-License-Identifier: Apache-2.0

/**
 * A layer of containers/storage under other owners. Its files are those of its parents too, so what they show is copied
 * up into the layer with the new owner. The layer is copied, the copy changed, and the two change places by one rename:
 * until then nobody sees anything of it. What a process leaves that dies before is swept away: see _leftovers.ts.
 *
 * One thread does it: copies up wait for each other at the work directory, and two threads took as long as one.
 *
 * Afterwards the content is in `diff1`, right below a `diff` that is empty, as containers/storage leaves it.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  existsat,
  Fd,
  mkdirat,
  O_DIRECTORY,
  O_RDONLY,
  openat,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  renameat2,
  tryUnlinkat,
} from "../../ffi/file.ts";
import { lchownat, lutimesat } from "../../ffi/owner.ts";
import { statat } from "../../ffi/stat.ts";
import { lgetxattr, llistxattr, lsetxattr } from "../../ffi/xattr.ts";
import { isStorageXattr } from "../archive/xattr_filter.ts";
import { asStorageError, isStorageError, StorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import { pathOf } from "../mount/mount_aside.ts";
import type { OverlayMount } from "../mount/overlay_mount.ts";
import { randomId } from "../util/random_id.ts";
import { lockNewDirectory } from "../util/directory_lock.ts";
import { removeTree } from "../util/remove_tree.ts";
import type { LayerHome } from "./_layer_home.ts";
import { MANIFEST } from "./_layer_manifest.ts";
import { mountHidden } from "./_layer_trees.ts";
import { makeOwnedDirectory, type Owner } from "./_owner.ts";
import type { WorkOptions } from "./driver.ts";

const STAGING_MODE = 0o700;

/** Between which maps a layer changes. */
export interface Remapping {
  from: IdMaps | undefined;
  to: IdMaps | undefined;
  /** Of the mount through which the files are changed. */
  mountOptions: readonly string[];
}

/** Gives the layer `id` to other owners. */
export async function remapLayer(
  home: LayerHome,
  id: string,
  { mountOptions, ...maps }: Remapping,
  work: WorkOptions,
): Promise<void> {
  const { layout } = home;
  using _lock = await home.lock(id);
  home.requireWhole(id);
  requireFree(home, id);
  const name = `.lamina-remap-${randomId(10)}`;
  const staging = `${layout.home}/${name}`;
  mkdirat(AT_FDCWD, staging, STAGING_MODE);
  try {
    // Says that somebody is at work here: see _leftovers.ts.
    using _stagingLock = lockNewDirectory(staging);
    await home.runner.run("copy", { source: layout.dir(id), target: staging, mode: "copy" }, work);
    const lowerDirs = layout.mountLowers(id);
    if (lowerDirs.length === 0) lowerDirs.push(home.emptyDir);
    {
      const upper = { upperDir: `${staging}/diff`, workDir: `${staging}/work` };
      using tree = await mountUnsynced(home, { lowerDirs, upper, options: mountOptions });
      await home.runner.run("shiftOwners", { directory: pathOf(tree), ...maps }, work);
    }
    rotate(staging, home.owner(maps.to));
    // What takes the place of files that may have been on the disk for long has to be there as well.
    if (home.sync.isOn) await home.runner.run("sync", { directory: staging });
    renameat2(AT_FDCWD, staging, AT_FDCWD, layout.dir(id), RENAME_EXCHANGE);
    await home.sync.names(layout.home);
  } catch (error) {
    await clear(home, name);
    throw asStorageError(error, `Cannot give layer "${id}" to other ids`);
  }
  await clear(home, name);
}

/**
 * Mounts without waiting for the disk at each file that is copied up: that takes six times as long as all the rest, and one
 * sync in the end does as well. Kernels before Linux 5.10 cannot, nor do all mount programs.
 */
async function mountUnsynced(home: LayerHome, overlay: OverlayMount): Promise<Fd> {
  const { options } = overlay;
  if (home.hasMarkers || options.includes("volatile") || options.includes("sync")) {
    return await mountHidden(home, overlay);
  }
  try {
    return await mountHidden(home, { ...overlay, options: [...options, "volatile"] });
  } catch (error) {
    if (!isStorageError(error, "mount_failed") || !isErrno(error.cause, "EINVAL")) throw error;
    return await mountHidden(home, overlay);
  }
}

function requireFree(home: LayerHome, id: string): void {
  const refused = (reason: string, hint: string): StorageError =>
    new StorageError("layer_in_use", `Cannot give layer "${id}" to other ids: ${reason}`, { hint });
  home.views.requireNone(id, `give layer "${id}" to other ids`);
  if (home.mountState(id) !== "none") {
    throw refused("it is mounted", `unmount it first: lamina unmount ${id}`);
  }
  const child = home.findChildOf(id);
  if (child !== undefined) {
    throw refused(`it is the parent of "${child}"`, "make a child of it and change that one");
  }
}

/** Has the content of the layer at `dir`, of which its manifest is no longer true, lie below a new, empty directory of the same kind. */
function rotate(dir: string, owner: Owner): void {
  tryUnlinkat(AT_FDCWD, `${dir}/${MANIFEST}`);
  const diff = (n: number): string => `${dir}/diff${n === 0 ? "" : n}`;
  let count = 1;
  while (existsat(AT_FDCWD, diff(count))) count++;
  for (let n = count; n > 0; n--) renameat2(AT_FDCWD, diff(n - 1), AT_FDCWD, diff(n), RENAME_NOREPLACE);
  const root = statat(AT_FDCWD, diff(1));
  makeOwnedDirectory(diff(0), root.mode & 0o7777, root);
  for (const name of llistxattr(diff(1))) {
    const value = isStorageXattr(name) ? undefined : lgetxattr(diff(1), name);
    if (value !== undefined) lsetxattr(diff(0), name, value);
  }
  lutimesat(AT_FDCWD, diff(0), root.mtimeSeconds, root.mtimeNanoseconds);
  // The kernel may have noted there which directory it worked for.
  const { mode } = statat(AT_FDCWD, `${dir}/work`);
  {
    using directory = new Fd(openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY));
    removeTree(directory.fd, "work");
  }
  makeOwnedDirectory(`${dir}/work`, mode & 0o7777, owner);
  for (const path of [dir, `${dir}/merged`, `${dir}/empty`]) {
    if (existsat(AT_FDCWD, path)) lchownat(AT_FDCWD, path, owner.uid, owner.gid);
  }
}

/** What is left over is no layer: it must not make what was done fail, nor hide why it was not. */
async function clear(home: LayerHome, name: string): Promise<void> {
  await home.runner.run("remove", { directory: home.layout.home, name }).catch((failure) =>
    home.logger.warn(`cannot clear ${home.layout.home}/${name} away: ${failure.message}`)
  );
}

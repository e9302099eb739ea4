// SPDX-License-Identifier: Apache-2.0

/**
 * Mounted layers and their counts: the part of `get` and `put` that every layer with parents has in common. The caller
 * holds the layer's lock.
 *
 * @module
 */

import { AT_FDCWD, tryMkdirat } from "../../ffi/file.ts";
import { ERRNO, failure, octal } from "../../ffi/errno.ts";
import { MS_RDONLY } from "../../ffi/mount.ts";
import { lchownat } from "../../ffi/owner.ts";
import { statfs } from "../../ffi/statfs.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { MountCount } from "../mount/mount_count.ts";
import { describeHolder, findMountAt } from "../mount/mount_holders.ts";
import type { Mounter } from "../mount/mounter.ts";
import type { OverlayMount } from "../mount/overlay_mount.ts";
import { removeMountPoint } from "../mount/unmount.ts";
import { requireNoLink } from "./_layer_layout.ts";
import { isOwn, type Owner } from "./_owner.ts";

const MERGED_MODE = 0o700;

/** How a layer's mount is to be used, and whether it has to be the one or the other. */
export interface Use {
  access?: "read-only" | "read-write" | "any";
  /** How many users more there are. */
  users?: 0 | 1;
  /** Called where it does not show that the store can be written: where the mount point is there already. */
  requireWritable?: () => void;
}

/** The mounts of one home. */
export class LayerMounts {
  /**
   * @param countDir Where the counts lie, a file a layer.
   * @param mounter Who mounts.
   */
  constructor(readonly countDir: string, readonly mounter: Mounter) {}

  /** Whether there is a mount to be taken down at `mergedDir`, in whatever state. */
  isMounted(mergedDir: string): boolean {
    return this.mounter.state(mergedDir) !== "none";
  }

  /** Whether somebody may write in the mount at `mergedDir`. */
  isWritten(id: string, mergedDir: string): boolean {
    if (this.mounter.state(mergedDir) !== "mounted") return false;
    return !isReadOnly(mergedDir) && this.#counter(id).read(true) > 0;
  }

  /**
   * Counts one user more of the mount of `id` at `mergedDir`; the first one mounts `overlay` there.
   *
   * @throws {StorageError} `mount_failed`; `layer_in_use`: it is mounted for another kind of access; `store_damaged`:
   * the mount point leads elsewhere.
   */
  async acquire(
    id: string,
    mergedDir: string,
    overlay: OverlayMount,
    owner: Owner,
    { access = "any", users = 1, requireWritable }: Use = {},
  ): Promise<void> {
    const counter = this.#counter(id);
    // Nothing is mounted where there is nothing to mount it on.
    const isNew = makeMountPoint(mergedDir, owner);
    if (!isNew) {
      requireNoLink(id, mergedDir);
      requireWritable?.();
    }
    const state = isNew ? "none" : this.mounter.state(mergedDir);
    if (state === "mounted") {
      if (access !== "any") requireAccess(id, mergedDir, access);
      return counter.write(counter.read(true) + users);
    }
    // Nobody has anything of a mount whose program has died.
    if (state === "dead") await this.mounter.unmount(mergedDir);
    if (state === "none" && !isNew) this.requireNotElsewhere("mount", id, mergedDir);
    await this.#mount(counter, mergedDir, overlay, owner, users);
  }

  /**
   * Counts one user less; whether that was the last one, and the layer is no longer mounted. None at all is no error.
   *
   * @param isNeeded Whether the mount has to stay without users.
   */
  async release(id: string, mergedDir: string, isNeeded: () => boolean): Promise<boolean> {
    const state = this.mounter.state(mergedDir);
    if (state === "none") return false;
    const counter = this.#counter(id);
    const count = counter.read(state === "mounted");
    if (count > 1 || isNeeded()) {
      counter.lower(Math.max(count - 1, 0));
      return false;
    }
    await this.#unmount(counter, id, mergedDir);
    return true;
  }

  /**
   * Makes sure that a layer which is not mounted here is not mounted in another mount namespace either.
   *
   * @throws {StorageError} `layer_in_use`: two mounts of one upper directory would spoil it.
   */
  requireNotElsewhere(action: string, id: string, mergedDir: string): void {
    const counter = this.#counter(id);
    if (!counter.isNoted) return;
    const holder = findMountAt(mergedDir);
    if (holder !== undefined) {
      throw new StorageError("layer_in_use", `Cannot ${action} layer "${id}": ${describeHolder(holder)}`, {
        hint: `unmount it there, or end process ${holder.pid}: a mount namespace ends with its last process`,
      });
    }
    // It ended with its namespace.
    counter.clear();
  }

  /** Takes the mount down if it has no user; whether it did. */
  async unmountUnused(id: string, mergedDir: string): Promise<boolean> {
    const state = this.mounter.state(mergedDir);
    const counter = this.#counter(id);
    if (state === "none" || counter.read(state === "mounted") > 0) return false;
    await this.#unmount(counter, id, mergedDir);
    return true;
  }

  /** Takes the mount down, whoever uses it, and forgets its count. */
  async unmount(id: string, mergedDir: string): Promise<void> {
    if (this.isMounted(mergedDir)) await this.#unmount(this.#counter(id), id, mergedDir);
  }

  async #unmount(counter: MountCount, id: string, mergedDir: string): Promise<void> {
    try {
      await this.mounter.unmount(mergedDir);
    } catch (error) {
      throw asStorageError(error, `Cannot unmount layer "${id}"`);
    }
    removeMountPoint(mergedDir);
    counter.clear();
  }

  async #mount(
    counter: MountCount,
    mergedDir: string,
    overlay: OverlayMount,
    owner: Owner,
    users: 0 | 1,
  ): Promise<void> {
    try {
      counter.write(users);
      await this.mounter.mount(overlay, mergedDir);
      // In a user namespace the kernel moves directories through here, with the namespace's root.
      if (overlay.upper !== undefined && !isOwn(owner)) {
        lchownat(AT_FDCWD, `${overlay.upper.workDir}/work`, owner.uid, owner.gid);
      }
    } catch (error) {
      if (this.isMounted(mergedDir)) await this.mounter.unmount(mergedDir);
      removeMountPoint(mergedDir);
      counter.clear();
      throw error;
    }
  }

  #counter(id: string): MountCount {
    return new MountCount(`${this.countDir}/${id}`);
  }
}

/** Makes the directory that a layer is mounted at; whether it was not there before. */
function makeMountPoint(mergedDir: string, owner: Owner): boolean {
  const made = tryMkdirat(AT_FDCWD, mergedDir, MERGED_MODE);
  if (made === -ERRNO.EEXIST) return false;
  if (made < 0) throw failure(-made, "mkdirat", AT_FDCWD, mergedDir, octal(MERGED_MODE));
  if (!isOwn(owner)) lchownat(AT_FDCWD, mergedDir, owner.uid, owner.gid);
  return true;
}

function isReadOnly(mergedDir: string): boolean {
  return (statfs(mergedDir).mountFlags & MS_RDONLY) !== 0;
}

/** @throws {StorageError} `layer_in_use`. */
function requireAccess(id: string, mergedDir: string, access: "read-only" | "read-write"): void {
  if (isReadOnly(mergedDir) === (access === "read-only")) return;
  if (access === "read-only") {
    throw new StorageError(
      "layer_in_use",
      `Cannot mount layer "${id}" read-only: it is mounted to be written in, at ${mergedDir}`,
      { hint: `show it at a place of its own: lamina mount ${id} --read-only --at DIR` },
    );
  }
  throw new StorageError(
    "layer_in_use",
    `Cannot mount layer "${id}" to be written in: it is mounted read-only, at ${mergedDir}`,
    { hint: `unmount it first: lamina unmount ${id}` },
  );
}

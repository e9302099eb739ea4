// SPDX-License-Identifier: Apache-2.0

/**
 * Mounted layers and their counts: the part of `get` and `put` that every layer with parents has in common. The caller
 * holds the layer's lock.
 *
 * @module
 */

import { AT_FDCWD, tryMkdirat } from "../../ffi/file.ts";
import { ERRNO, failure, octal } from "../../ffi/errno.ts";
import { lchownat } from "../../ffi/owner.ts";
import { getegid, geteuid } from "../../ffi/process.ts";
import { asStorageError } from "../errors.ts";
import { MountCount } from "../mount/mount_count.ts";
import type { Mounter } from "../mount/mounter.ts";
import type { OverlayMount } from "../mount/overlay_mount.ts";
import { removeMountPoint } from "../mount/unmount.ts";
import type { Owner } from "./_owner.ts";

const MERGED_MODE = 0o700;

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

  /** Counts one user more of the mount of `id` at `mergedDir`; the first one mounts `overlay` there. */
  async acquire(id: string, mergedDir: string, overlay: OverlayMount, owner: Owner): Promise<void> {
    const counter = this.#counter(id);
    // Nothing is mounted where there is nothing to mount it on.
    const state = makeMountPoint(mergedDir, owner) ? "none" : this.mounter.state(mergedDir);
    if (state === "mounted") return counter.write(counter.read(true) + 1);
    // Nobody has anything of a mount whose program has died.
    if (state === "dead") await this.mounter.unmount(mergedDir);
    await this.#mount(counter, mergedDir, overlay, owner);
  }

  /** Counts one user less; whether that was the last one, and the layer is no longer mounted. None at all is no error. */
  async release(id: string, mergedDir: string): Promise<boolean> {
    const state = this.mounter.state(mergedDir);
    if (state === "none") return false;
    const counter = this.#counter(id);
    const count = counter.read(state === "mounted");
    if (count > 1) {
      counter.write(count - 1);
      return false;
    }
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

  async #mount(counter: MountCount, mergedDir: string, overlay: OverlayMount, owner: Owner): Promise<void> {
    try {
      counter.write(1);
      await this.mounter.mount(overlay, mergedDir);
      // In a user namespace the kernel moves directories through here, with the namespace's root.
      if (overlay.upper !== undefined && !isOurs(owner)) {
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

function isOurs({ uid, gid }: Owner): boolean {
  return uid === geteuid() && gid === getegid();
}

/** Makes the directory that a layer is mounted at; whether it was not there before. */
function makeMountPoint(mergedDir: string, owner: Owner): boolean {
  const made = tryMkdirat(AT_FDCWD, mergedDir, MERGED_MODE);
  if (made === -ERRNO.EEXIST) return false;
  if (made < 0) throw failure(-made, "mkdirat", AT_FDCWD, mergedDir, octal(MERGED_MODE));
  if (!isOurs(owner)) lchownat(AT_FDCWD, mergedDir, owner.uid, owner.gid);
  return true;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Mounted layers and their counts: the part of `get` and `put` that every layer with parents has in common. The caller
 * holds the layer's lock.
 *
 * @module
 */

import { AT_FDCWD, existsat, tryMkdirat } from "../../ffi/file.ts";
import { ERRNO, failure, octal } from "../../ffi/errno.ts";
import { lchownat } from "../../ffi/owner.ts";
import { geteuid } from "../../ffi/process.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { MountCount } from "../mount/mount_count.ts";
import { describeHolder, findMountAt, type MountHolder } from "../mount/mount_holders.ts";
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
    const state = this.mounter.state(mergedDir);
    // Nobody has anything of a mount whose program has died.
    if (state === "dead") await this.mounter.unmount(mergedDir);
    const counter = this.#counter(id);
    const count = counter.read(state === "mounted");
    if (state === "none") this.requireNotElsewhere("mount", id, mergedDir);
    if (state !== "mounted") await this.#mount(counter, mergedDir, overlay, owner);
    counter.write(count + 1);
  }

  /** Counts one user less; whether that was the last one, and the layer is no longer mounted. */
  async release(id: string, mergedDir: string): Promise<boolean> {
    const count = this.#counter(id).read(this.mounter.state(mergedDir) === "mounted");
    if (count > 1) {
      this.#counter(id).write(count - 1);
      return false;
    }
    await this.unmount(id, mergedDir);
    return true;
  }

  /** Who has a layer mounted in another mount namespace that is not mounted in this one. */
  holderElsewhere(id: string, mergedDir: string): MountHolder | undefined {
    const counter = this.#counter(id);
    if (!counter.tellsOfUsers) return undefined;
    const holder = existsat(AT_FDCWD, mergedDir) ? findMountAt(mergedDir) : undefined;
    // It ended with its namespace, or with the machine.
    if (holder === undefined) counter.clear();
    return holder;
  }

  /** @throws {StorageError} `layer_in_use`: two mounts of one upper directory would spoil it. */
  requireNotElsewhere(action: string, id: string, mergedDir: string): void {
    const holder = this.holderElsewhere(id, mergedDir);
    if (holder === undefined) return;
    throw new StorageError("layer_in_use", `Cannot ${action} layer "${id}": ${describeHolder(holder)}`, {
      hint: `unmount it there, or end process ${holder.pid}: a mount namespace ends with its last process`,
    });
  }

  /** Takes the mount down, whoever uses it, and forgets its count. */
  async unmount(id: string, mergedDir: string): Promise<void> {
    const counter = this.#counter(id);
    if (this.isMounted(mergedDir)) {
      // 0 before, gone after: who is killed in between leaves a mount that the next user takes over.
      counter.write(0);
      try {
        await this.mounter.unmount(mergedDir);
      } catch (error) {
        throw asStorageError(error, `Cannot unmount layer "${id}"`);
      }
    }
    removeMountPoint(mergedDir);
    counter.clear();
  }

  async #mount(counter: MountCount, mergedDir: string, overlay: OverlayMount, owner: Owner): Promise<void> {
    const made = tryMkdirat(AT_FDCWD, mergedDir, MERGED_MODE);
    if (made < 0 && made !== -ERRNO.EEXIST) throw failure(-made, "mkdirat", AT_FDCWD, mergedDir, octal(MERGED_MODE));
    try {
      if (owner.uid !== geteuid()) lchownat(AT_FDCWD, mergedDir, owner.uid, owner.gid);
      counter.write(0);
      await this.mounter.mount(overlay, mergedDir);
      // In a user namespace the kernel moves directories through here, with the namespace's root.
      if (overlay.upper !== undefined) lchownat(AT_FDCWD, `${overlay.upper.workDir}/work`, owner.uid, owner.gid);
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

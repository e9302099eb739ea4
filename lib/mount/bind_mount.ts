// SPDX-License-Identifier: Apache-2.0

/**
 * Showing a tree at a second place, with flags of its own: a bind mount.
 *
 * With open_tree(2) and mount_setattr(2) (Linux 5.12) it has its flags before anybody can see it. With mount(2) it takes
 * two calls, and between them a read-only bind can be written.
 *
 * @module
 */

import { ERRNO, failure, hex, isErrno } from "../../ffi/errno.ts";
import { AT_EMPTY_PATH, Fd } from "../../ffi/file.ts";
import {
  MNT_DETACH,
  mount,
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_REMOUNT,
  umount2,
} from "../../ffi/mount.ts";
import { move_mount, open_tree, tryMountSetattr } from "../../ffi/mount_api.ts";
import { statfs } from "../../ffi/statfs.ts";
import { pathOf } from "./mount_aside.ts";
import { MOUNT_FLAGS } from "./mount_options.ts";
import { kernelPath } from "./mount_place.ts";
import type { MountApi } from "./overlay_mount.ts";

/** What a bind mount has from the mount that it is made of, unless it is told again. */
const INHERITED = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

/**
 * Shows at the open directory `target` what is at `source`, without what is mounted below that. As mount(2) and
 * move_mount(2) do by themselves, the new mount is seen wherever mounts at `target` are.
 *
 * @param options Of those that every mount can have: `ro`, `nodev`, `nosuid`, `noexec`.
 * @throws {SyscallError} EPERM; EINVAL: `source` is not in this mount namespace.
 */
export function bindMount(source: string, target: Fd, options: readonly string[], api: MountApi = "auto"): void {
  if ((api === "auto" || api === "new") && bindByDescriptor(source, target, options)) return;
  mount(source, pathOf(target), null, MS_BIND, null);
  const flags = options.reduce((bits, option) => bits | (MOUNT_FLAGS.get(option)?.flag ?? 0), 0);
  if (flags === 0) return;
  // The descriptor leads to what is covered now.
  const place = kernelPath(target.fd);
  try {
    const inherited = statfs(place).mountFlags & INHERITED;
    mount(null, place, null, MS_REMOUNT | MS_BIND | flags | inherited, null);
  } catch (error) {
    umount2(place, MNT_DETACH);
    throw error;
  }
}

/** False if the kernel lacks the calls. */
function bindByDescriptor(source: string, target: Fd, options: readonly string[]): boolean {
  const tree = tryOpenTree(source);
  if (tree === undefined) return false;
  using _tree = tree;
  const attributes = options.reduce((bits, option) => bits | (MOUNT_FLAGS.get(option)?.attribute ?? 0), 0);
  if (attributes !== 0) {
    const result = tryMountSetattr(tree.fd, attributes);
    if (result === -ERRNO.ENOSYS) return false;
    if (result < 0) throw failure(-result, "mount_setattr", tree.fd, "", hex(AT_EMPTY_PATH), hex(attributes));
  }
  move_mount(tree.fd, pathOf(target));
  return true;
}

function tryOpenTree(source: string): Fd | undefined {
  try {
    return new Fd(open_tree(source));
  } catch (error) {
    if (isErrno(error, "ENOSYS")) return undefined;
    throw error;
  }
}

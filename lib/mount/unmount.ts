// SPDX-License-Identifier: Apache-2.0

/**
 * Taking mounts down.
 *
 * @module
 */

import { ERRNO, failure, isErrno } from "../../ffi/errno.ts";
import { MNT_DETACH, tryUmount2Beside, umount2 } from "../../ffi/mount.ts";
import { OVERLAYFS_SUPER_MAGIC, tryStatfsType } from "../../ffi/statfs.ts";
import { AT_FDCWD, AT_REMOVEDIR, tryUnlinkat } from "../../ffi/file.ts";
import { isDirectory } from "../../ffi/stat.ts";
import { mountsBelow } from "./mountinfo.ts";

/** Of a path, ELOOP also where its last name is a link to itself. */
const NOTHING_THERE: ReadonlySet<number> = new Set([ERRNO.ENOENT, ERRNO.ENOTDIR, ERRNO.ELOOP]);

/**
 * Whether an overlay is mounted at `path`, by its magic number: reading the mount table costs as much as there are mounts.
 * Nothing is mounted at a symbolic link.
 */
export function isOverlayMounted(path: string): boolean {
  const type = tryStatfsType(path);
  if (type < 0 && !NOTHING_THERE.has(-type)) throw failure(-type, "statfs", path);
  return type === OVERLAYFS_SUPER_MAGIC && isDirectory(path);
}

/**
 * Unmounts `target` at once; who still has files open in it keeps them. Nothing mounted there is no error.
 *
 * @throws {SyscallError} EPERM, EBUSY.
 */
export function unmountLazily(target: string): void {
  try {
    umount2(target, MNT_DETACH);
  } catch (error) {
    if (!isErrno(error, "EINVAL", "ENOENT")) throw error;
  }
}

/**
 * As {@linkcode unmountLazily}, while this thread goes on: the kernel writes the whole file system out that the upper
 * directory is on, and waits for all processors.
 */
export async function unmountLazilyBeside(target: string): Promise<void> {
  // The second try tells why.
  if (!await tryUmount2Beside(target, MNT_DETACH)) unmountLazily(target);
}

/**
 * Removes a mount point. Where the mount lives on in another mount namespace, this takes it down there as well (Linux
 * 3.18), so that the upper directory is free for the next mount. A failure only leaves an empty directory.
 */
export function removeMountPoint(target: string): void {
  tryUnlinkat(AT_FDCWD, target, AT_REMOVEDIR);
}

/** Unmounts everything below `path`, the deepest first, and not what is mounted there itself; returns the places. */
export function unmountBelow(path: string): string[] {
  const places = mountsBelow(path).map(({ mountPoint }) => mountPoint).filter((place) => place !== path);
  for (const place of places) unmountLazily(place);
  return places;
}

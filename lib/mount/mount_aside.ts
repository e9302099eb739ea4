// SPDX-License-Identifier: Apache-2.0

/**
 * Mounts that nobody else sees: what a program needs for a moment, and must not leave behind should it die.
 *
 * @module
 */

import { AT_FDCWD, AT_REMOVEDIR, Fd, mkdirat, O_DIRECTORY, O_RDONLY, openat, tryUnlinkat } from "../../ffi/file.ts";
import { MNT_DETACH, umount2 } from "../../ffi/mount.ts";
import { randomId } from "../util/random_id.ts";

const MOUNT_POINT_MODE = 0o700;

/**
 * Has `mountAt` mount at a new directory in `directory`, and takes the mount off again at once. It lives on behind the
 * descriptor of its root that is returned, and ends when that is closed, or with the process.
 *
 * @throws What `mountAt` throws. {SyscallError} The directory cannot be made.
 */
export async function mountAside(
  directory: string,
  mountAt: (target: string) => void | Promise<void>,
): Promise<Fd> {
  const target = `${directory}/${randomId(10)}`;
  mkdirat(AT_FDCWD, target, MOUNT_POINT_MODE);
  try {
    await mountAt(target);
    try {
      return new Fd(openat(AT_FDCWD, target, O_RDONLY | O_DIRECTORY));
    } finally {
      umount2(target, MNT_DETACH);
    }
  } finally {
    tryUnlinkat(AT_FDCWD, target, AT_REMOVEDIR);
  }
}

/** The path by which this process, in all its threads, reaches the directory that `directory` has open. */
export function pathOf(directory: Fd): string {
  // With the dot it is a directory also to those who follow no links.
  return `/proc/self/fd/${directory.fd}/.`;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Mounts that nobody else sees: what a program needs for a moment, and must not leave behind should it die.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import { AT_FDCWD, AT_REMOVEDIR, Fd, mkdirat, O_DIRECTORY, O_RDONLY, openat, tryUnlinkat } from "../../ffi/file.ts";
import { MNT_DETACH, umount2 } from "../../ffi/mount.ts";
import { lockDirectory, tryLockDirectory } from "../util/directory_lock.ts";
import { randomId } from "../util/random_id.ts";
import { textOf } from "../util/text.ts";
import { unmountBelow } from "./unmount.ts";

const MOUNT_POINT_MODE = 0o700;

/**
 * Has `mountAt` mount at a new directory in `directory`, and takes the mount off again at once. It lives on behind the
 * descriptor of its root that is returned, and ends when that is closed, or with the process. A process that is killed in
 * between leaves it to {@linkcode sweepAside}.
 *
 * @throws What `mountAt` throws. {SyscallError} The directory cannot be made.
 */
export async function mountAside(
  directory: string,
  mountAt: (target: string) => void | Promise<void>,
): Promise<Fd> {
  // On `directory`: at the mount point, a lock would be on what is mounted there.
  using _lock = await lockDirectory(directory, "shared");
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

/** Takes off what died processes left mounted in `directory`, unless somebody is mounting there now; returns the places. */
export function sweepAside(directory: string): string[] {
  const lock = tryLockDirectory(directory, "exclusive");
  if (lock === undefined || lock === "busy") return [];
  using _lock = lock;
  unmountBelow(directory);
  const places: string[] = [];
  using open = new Fd(openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY));
  readDirectory(open.fd, (buffer, start, end) => {
    places.push(`${directory}/${textOf(buffer.subarray(start, end))}`);
  });
  return places.filter((place) => tryUnlinkat(AT_FDCWD, place, AT_REMOVEDIR) === 0);
}

/** The path by which this process, in all its threads, reaches the directory that `directory` has open. */
export function pathOf(directory: Fd): string {
  // With the dot it is a directory also to those who follow no links.
  return `/proc/self/fd/${directory.fd}/.`;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Where an open directory is, as the mount table tells it: in which mount, and as which directory of which file system.
 * Two directories of one file system and one root are the same tree, by whatever names they are reached.
 *
 * @module
 */

import { AT_FDCWD, readlinkat } from "../../ffi/file.ts";
import { StorageError } from "../errors.ts";
import { readTextFile } from "../util/read_file.ts";
import { textOf } from "../util/text.ts";
import { type MountInfo, readMountInfo } from "./mountinfo.ts";

/** A tree that a bind mount can show, as the mount table will name it there. */
export interface TreeIdentity {
  /** Of the file system: `0:57`. */
  device: string;
  /** The directory of that file system: `/`, but below the top of it. */
  root: string;
}

/** A directory and the mount that it is reached through. */
export interface MountPlace extends TreeIdentity {
  /** Without symbolic links. */
  path: string;
  /** The mount's number in the table. */
  mountId: number;
  /** Where that mount is. */
  mountPoint: string;
}

/** The path by which the kernel knows an open directory: absolute, without symbolic links. */
export function kernelPath(fd: number): string {
  return textOf(readlinkat(AT_FDCWD, `/proc/self/fd/${fd}`));
}

/**
 * Where the directory is that `fd` has open.
 *
 * @throws {StorageError} `not_supported`: its mount is not in the table, as after a chroot(2).
 */
export function placeOf(fd: number, mounts: readonly MountInfo[] = readMountInfo()): MountPlace {
  const path = kernelPath(fd);
  const mountId = Number(/^mnt_id:\s*(\d+)$/m.exec(readTextFile(`/proc/self/fdinfo/${fd}`))?.[1]);
  const mount = mounts.find(({ id }) => id === mountId);
  if (mount === undefined) {
    throw new StorageError("not_supported", `Cannot tell where ${path} is: the mount table of this process lacks it`);
  }
  const { device, mountPoint } = mount;
  const below = mountPoint === "/" ? path : path.slice(mountPoint.length);
  const root = `${mount.root === "/" ? "" : mount.root}${below}` || "/";
  return { device, root: root === "/" ? root : root.replace(/\/$/, ""), path, mountId, mountPoint };
}

/** The mounts at `path` that show the tree, the last made last. */
export function mountsOf({ device, root }: TreeIdentity, path: string, mounts: readonly MountInfo[]): MountInfo[] {
  return mounts.filter((mount) => mount.mountPoint === path && mount.device === device && mount.root === root);
}

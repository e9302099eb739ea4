// SPDX-License-Identifier: Apache-2.0

/**
 * What tells that a directory holds a driver's layers, before anybody knows which driver's.
 *
 * @module
 */

import { DT_DIR, DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, existsat, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { isLayerId } from "../layer_id.ts";
import { textOf } from "../util/text.ts";

/**
 * Names of the homes of Docker's drivers but `overlay2`: their layers next to ours would mean that two programs believe to
 * own the root.
 */
export const OTHER_DRIVERS: readonly string[] = [
  "aufs",
  "btrfs",
  "devicemapper",
  "fuse-overlayfs",
  "overlay",
  "vfs",
  "zfs",
];

/** Whether there is a directory in `home` that can be a layer. */
export function hasLayers(home: string): boolean {
  return idsIn(home).length > 0;
}

/** Names of directories in `home` that can be layers. */
export function idsIn(home: string): string[] {
  const ids: string[] = [];
  if (!existsat(AT_FDCWD, home)) return ids;
  try {
    using directory = new Fd(openat(AT_FDCWD, home, O_RDONLY | O_DIRECTORY));
    readDirectory(directory.fd, (buffer, start, end, type) => {
      const name = textOf(buffer.subarray(start, end));
      if ((type === DT_DIR || type === DT_UNKNOWN) && isLayerId(name)) ids.push(name);
    });
  } catch (error) {
    if (!isErrno(error, "ENOTDIR", "ENOENT")) throw error;
  }
  return ids;
}

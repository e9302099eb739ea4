// SPDX-License-Identifier: Apache-2.0

/**
 * How far a small file has to be, so that after a power cut it is whole wherever a name is that was given later. To wait for
 * fsync(2) is always far enough, and takes longest.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, readlinkat } from "../../ffi/file.ts";
import { statat } from "../../ffi/stat.ts";
import { EXT4_SUPER_MAGIC, statfs, XFS_SUPER_MAGIC } from "../../ffi/statfs.ts";
import { readTextFileIfExists } from "./read_file.ts";
import { textOf } from "./text.ts";

/**
 * - `started`: on its way to the disk. ext4 gives a file its blocks then; with `data=ordered`, which is usual, the journal
 *   holds that only when the content is there, and holds later names later. See Documentation/admin-guide/ext4.rst.
 * - `written`: its content is on the disk. XFS notes a file's new size when its content is there, and keeps its notes in order.
 *   See Documentation/filesystems/xfs/xfs-delayed-logging-design.rst.
 * - `synced`: fsync(2) has returned. btrfs keeps no order: a directory can be there without what was made in it before.
 *
 * That this is so, `deno task soak --faults power-cut` finds out anew.
 */
export type FileState = "started" | "written" | "synced";

/** How far files have to be in the directory `path`. */
export function stateBeforeNames(path: string): FileState {
  const { type } = statfs(path);
  if (type === XFS_SUPER_MAGIC) return "written";
  return type === EXT4_SUPER_MAGIC && isJournalOrdered(path) ? "started" : "synced";
}

/** ext2 and ext3 have the same number. Options are told also where nobody asked for them; without a journal there is none. */
function isJournalOrdered(path: string): boolean {
  const { devMajor, devMinor } = statat(AT_FDCWD, path);
  try {
    const device = textOf(readlinkat(AT_FDCWD, `/sys/dev/block/${devMajor}:${devMinor}`));
    const file = `/proc/fs/ext4/${device.slice(device.lastIndexOf("/") + 1)}/options`;
    const options = readTextFileIfExists(file)?.split("\n") ?? [];
    return options.includes("data=ordered") || options.includes("data=journal");
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES")) return false;
    throw error;
  }
}

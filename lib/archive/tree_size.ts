// SPDX-License-Identifier: Apache-2.0

/**
 * How many bytes the files of a tree have.
 *
 * @module
 */

import { DT_DIR, DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "../../ffi/file.ts";
import { lstatat, Stat } from "../../ffi/stat.ts";
import { type ByteString, byteString, CName } from "../util/byte_string.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";

/**
 * The sum of `st_size` of everything but directories below the open directory `rootFd`, hard links once, as Docker counts:
 * a symbolic link has the length of its target.
 */
export function treeSize(rootFd: number, control: WorkControl = UNWATCHED): number {
  const stat = new Stat();
  const counted = new Set<string>();
  let sizeBytes = 0;
  let entries = 0;

  function walk(fd: number): void {
    const directories: ByteString[] = [];
    readDirectory(fd, (buffer, start, end, type) => {
      if (type === DT_DIR) {
        directories.push(byteString(buffer, start, end));
        return;
      }
      // The kernel ends the name with a NUL, so its own buffer is the argument.
      lstatat(fd, buffer.subarray(start), stat);
      if (type === DT_UNKNOWN && stat.isDirectory) {
        directories.push(byteString(buffer, start, end));
        return;
      }
      entries++;
      if (stat.size === 0) return;
      if (stat.nlink > 1) {
        if (counted.has(stat.fileKey)) return;
        counted.add(stat.fileKey);
      }
      sizeBytes += stat.size;
    });
    control.tick(entries, sizeBytes);
    const leaf = new CName();
    for (const name of directories) {
      using directory = new Fd(openat(fd, leaf.fill(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      walk(directory.fd);
    }
  }

  // A descriptor of its own: reading a directory moves the position of the one that is handed in.
  using root = new Fd(openat(rootFd, ".", O_RDONLY | O_DIRECTORY));
  walk(root.fd);
  return sizeBytes;
}

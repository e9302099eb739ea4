// SPDX-License-Identifier: Apache-2.0

/**
 * Removing a directory with everything in it, by descriptors: a symbolic link is removed and never followed, a mount is
 * never entered.
 *
 * @module
 */

import { DT_DIR, DT_REG, DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { ERRNO, failure, hex, isErrno } from "../../ffi/errno.ts";
import {
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  type CPath,
  Fd,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  renameat2,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  tryOpenat2,
  tryUnlinkat,
} from "../../ffi/file.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import { type ByteString, byteString, CName } from "./byte_string.ts";

/** A level costs a descriptor and a few frames of the stack; who made the tree may have nested it as deep as he liked. */
const DEEPEST = 200;

const SMALL_FILE_BYTES = 64 * 1024;

const FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
/** NO_XDEV: a file system mounted below is somebody's data. */
const RESOLVE = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;

/**
 * Removes `name` of the directory `dirfd`, whatever it is. A name that is not there is no error, nor is somebody else
 * who removes the same.
 *
 * @throws {SyscallError} EBUSY or EXDEV if something is mounted at or below it; what could be removed is gone by then.
 */
export function removeTree(dirfd: number, name: CPath): void {
  const fd = tryOpenat2(dirfd, name, FLAGS, RESOLVE);
  if (fd >= 0) {
    using directory = new Fd(fd);
    emptyDirectory(directory.fd);
  } else {
    // No directory, or one that cannot be looked into and may be empty.
    const result = tryUnlinkat(dirfd, name);
    if (result === 0 || result === -ERRNO.ENOENT) return;
    if (result !== -ERRNO.EISDIR && result !== -ERRNO.EPERM) throw failure(-result, "unlinkat", dirfd, name, 0);
  }
  removeDirectory(dirfd, name, emptyDirectory);
}

/**
 * Removes the directory `name` as far as that takes next to no time: at most `most` names in it, and no file of more than 64
 * KiB. Whether nothing is left; what is, and why, {@linkcode removeTree} finds out.
 */
export function removeSmallTree(dirfd: number, name: CPath, most: number): boolean {
  return removeWithin(dirfd, name, most) >= 0;
}

/** A name in a directory. */
export interface DirectoryEntry {
  name: ByteString;
  /** `DT_…`. */
  type: number;
}

/** What is in the directory that is open at `fd`; undefined where that is more than `most` names. */
export function readFewEntries(fd: number, most: number): DirectoryEntry[] | undefined {
  const entries: DirectoryEntry[] = [];
  let count = 0;
  readNames(fd, (buffer, start, end, type) => {
    if (++count <= most) entries.push({ name: byteString(buffer, start, end), type });
  });
  return count > most ? undefined : entries;
}

/**
 * Removes `entries`, all that there is in the open directory `fd`, as {@linkcode removeSmallTree} does; that files right in it
 * are small, the caller knows.
 */
export function emptySmallDirectory(fd: number, entries: readonly DirectoryEntry[], most: number): boolean {
  return removeEntries(fd, entries, most - entries.length, true) >= 0;
}

/** What is left of `budget` when the directory is removed; negative if it is not. */
function removeWithin(dirfd: number, name: CPath, budget: number): number {
  const fd = tryOpenat2(dirfd, name, FLAGS, RESOLVE);
  if (fd < 0) return -1;
  let left: number;
  {
    using directory = new Fd(fd);
    const entries = readFewEntries(directory.fd, budget);
    left = entries === undefined ? -1 : removeEntries(directory.fd, entries, budget - entries.length, false);
  }
  return left >= 0 && tryUnlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -1 : left;
}

/** Filled and read within one call. */
const leaf = new CName();

/** What is left of `budget` for what is below them, when the entries are removed; negative if they are not. */
function removeEntries(
  fd: number,
  entries: readonly DirectoryEntry[],
  budget: number,
  filesAreSmall: boolean,
): number {
  let left = budget;
  for (const { name, type } of entries) {
    if (left < 0) break;
    // One whose type is not told may be a directory.
    if (type === DT_UNKNOWN) left = -1;
    else if (type !== DT_DIR) {
      if (!removeSmallFile(fd, leaf.fill(name), filesAreSmall || type !== DT_REG)) left = -1;
    } else if (tryUnlinkat(fd, leaf.fill(name), AT_REMOVEDIR) !== 0) {
      left = removeWithin(fd, new CName().fill(name), left);
    }
  }
  return left;
}

function removeSmallFile(dirfd: number, name: CPath, isSmall: boolean): boolean {
  return (isSmall || isSmallFile(dirfd, name)) && tryUnlinkat(dirfd, name) === 0;
}

/** Filled and read within one call. */
const stat = new Stat();

function isSmallFile(dirfd: number, name: CPath): boolean {
  return tryStatx(dirfd, name, AT_SYMLINK_NOFOLLOW, stat) === 0 && stat.size <= SMALL_FILE_BYTES;
}

/** Removes everything in the open directory `fd`, which stays. */
export function emptyDirectory(fd: number): void {
  const moved: string[] = [];
  emptyLevel(fd, 1, fd, moved);
  for (let name = moved.pop(); name !== undefined; name = moved.pop()) {
    removeDirectory(fd, name, (opened) => emptyLevel(opened, 2, fd, moved));
  }
}

/** What lies too deep is moved up into the directory `topFd` and noted in `moved`, to be removed from there. */
function emptyLevel(fd: number, depth: number, topFd: number, moved: string[]): void {
  const leaf = new CName();
  const directories: ByteString[] = [];
  readNames(fd, (buffer, start, end, type) => {
    const name = byteString(buffer, start, end);
    if (type === DT_DIR) directories.push(name);
    else {
      const result = tryUnlinkat(fd, leaf.fill(name));
      if (result === -ERRNO.EISDIR && type === DT_UNKNOWN) directories.push(name);
      else if (result < 0 && result !== -ERRNO.ENOENT) throw failure(-result, "unlinkat", fd, name, 0);
    }
  });
  for (const name of directories) {
    const directory = new CName().fill(name);
    if (depth < DEEPEST) removeDirectory(fd, directory, (opened) => emptyLevel(opened, depth + 1, topFd, moved));
    else moveUp(fd, directory, topFd, moved);
  }
}

/** As `readDirectory`; one that was removed since it was opened is empty. */
function readNames(fd: number, visit: Parameters<typeof readDirectory>[1]): void {
  try {
    readDirectory(fd, visit);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

function moveUp(fd: number, name: CPath, topFd: number, moved: string[]): void {
  const newName = `.deep-${crypto.randomUUID()}`;
  try {
    renameat2(fd, name, topFd, newName);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    throw error;
  }
  moved.push(newName);
}

/** Who made the tree may still be at it: what is empty can have another entry before it is removed. */
const MOST_ATTEMPTS = 5;

function removeDirectory(dirfd: number, name: CPath, empty: (fd: number) => void): void {
  for (let attempt = 1;; attempt++) {
    const result = tryUnlinkat(dirfd, name, AT_REMOVEDIR);
    if (result === 0 || result === -ERRNO.ENOENT) return;
    const isFull = result === -ERRNO.ENOTEMPTY || result === -ERRNO.EEXIST;
    if (!isFull || attempt === MOST_ATTEMPTS) throw failure(-result, "unlinkat", dirfd, name, hex(AT_REMOVEDIR));
    const fd = tryOpenat2(dirfd, name, FLAGS, RESOLVE);
    if (fd === -ERRNO.ENOENT) return;
    if (fd < 0) throw failure(-fd, "openat2", dirfd, name, hex(FLAGS), hex(RESOLVE));
    using directory = new Fd(fd);
    empty(directory.fd);
  }
}

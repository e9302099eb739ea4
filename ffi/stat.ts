// SPDX-License-Identifier: Apache-2.0

/**
 * Metadata of files: statx(2). `struct stat` differs between architectures, `struct statx` does not.
 *
 * @module
 */

import { type CPath, cpath } from "./_cstring.ts";
import { lastErrno, libc } from "./_libc.ts";
import { failure, hex } from "./errno.ts";
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "./file.ts";

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;

const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;
const SIZE = 256;

/** Offsets of `struct statx` (linux/stat.h) in 32-bit words; `MODE` in 16-bit words. Both architectures are little-endian. */
const NLINK = 4;
const UID = 5;
const GID = 6;
const MODE = 14;
const INO = 8;
const FILE_SIZE = 10;
const BLOCKS = 12;
const MASK = 0;
const BTIME = 20;
const CTIME = 24;
const MTIME = 28;
const RDEV = 32;
const DEV = 34;
const TWO_32 = 4294967296;

/** One `struct statx`. A hot loop fills the same one again and again; fields read straight from the kernel's buffer. */
export class Stat {
  /** The kernel's buffer. */
  readonly words: Uint32Array<ArrayBuffer> = new Uint32Array(SIZE / 4);
  readonly #halves = new Uint16Array(this.words.buffer);
  readonly #signed = new Int32Array(this.words.buffer);

  /** Type and permission bits. */
  get mode(): number {
    return this.#halves[MODE]!;
  }
  get nlink(): number {
    return this.words[NLINK]!;
  }
  get uid(): number {
    return this.words[UID]!;
  }
  get gid(): number {
    return this.words[GID]!;
  }
  /** Bytes. */
  get size(): number {
    return this.words[FILE_SIZE]! + this.words[FILE_SIZE + 1]! * TWO_32;
  }
  /** Allocated units of 512 bytes. */
  get blocks(): number {
    return this.words[BLOCKS]! + this.words[BLOCKS + 1]! * TWO_32;
  }
  /** Whole seconds of the modification time, negative before 1970. */
  get mtimeSeconds(): number {
    return this.words[MTIME]! + this.#signed[MTIME + 1]! * TWO_32;
  }
  /** Nanoseconds beside {@linkcode mtimeSeconds}, 0 to 999,999,999. */
  get mtimeNanoseconds(): number {
    return this.words[MTIME + 2]!;
  }
  get rdevMajor(): number {
    return this.words[RDEV]!;
  }
  get rdevMinor(): number {
    return this.words[RDEV + 1]!;
  }
  get devMajor(): number {
    return this.words[DEV]!;
  }
  get devMinor(): number {
    return this.words[DEV + 1]!;
  }
  get ino(): bigint {
    return BigInt(this.words[INO + 1]!) * BigInt(TWO_32) + BigInt(this.words[INO]!);
  }
  /** Device and inode as a key: the same file has the same key. A number could not hold a 64-bit inode. */
  get fileKey(): string {
    return `${this.words[DEV]}:${this.words[DEV + 1]}:${this.words[INO + 1]}:${this.words[INO]}`;
  }

  /** One of its own, that stays as it is. */
  clone(): Stat {
    const copy = new Stat();
    copy.words.set(this.words);
    return copy;
  }

  /** Has the fields tell what the kernel was not asked. */
  replace(
    { uid, gid, mode, rdevMajor, rdevMinor }: Pick<Stat, "uid" | "gid" | "mode" | "rdevMajor" | "rdevMinor">,
  ): void {
    this.words[UID] = uid;
    this.words[GID] = gid;
    this.#halves[MODE] = mode;
    this.words[RDEV] = rdevMajor;
    this.words[RDEV + 1] = rdevMinor;
  }

  /** Whether `other` is the same file. */
  isSameFile(other: Stat): boolean {
    return this.words[DEV] === other.words[DEV] && this.words[DEV + 1] === other.words[DEV + 1] &&
      this.#hasInodeOf(other);
  }
  /** Whether both were modified last at the same nanosecond. */
  isModifiedWith(other: Stat): boolean {
    return this.words[MTIME] === other.words[MTIME] && this.words[MTIME + 1] === other.words[MTIME + 1] &&
      this.words[MTIME + 2] === other.words[MTIME + 2];
  }
  /**
   * Whether `other` has the same inode number and changed its inode last at the same nanosecond, on whatever device: two
   * overlay mounts show one file of a layer below under two devices.
   */
  isUnchangedSince(other: Stat): boolean {
    return this.#hasInodeOf(other) && this.words[CTIME] === other.words[CTIME] &&
      this.words[CTIME + 2] === other.words[CTIME + 2];
  }
  #hasInodeOf(other: Stat): boolean {
    return this.words[INO] === other.words[INO] && this.words[INO + 1] === other.words[INO + 1];
  }

  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }
  get isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }
  get isSymlink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK;
  }
  get isBlockDevice(): boolean {
    return (this.mode & S_IFMT) === S_IFBLK;
  }
  /** A character device 0:0, which overlayfs takes for a deleted name. */
  get isOverlayWhiteout(): boolean {
    return (this.mode & S_IFMT) === S_IFCHR && this.rdevMajor === 0 && this.rdevMinor === 0;
  }
}

/** `statx(dirfd, path, flags, STATX_BASIC_STATS)` into `into`: 0, or a negative errno. See statx(2). */
export function tryStatx(dirfd: number, path: CPath, flags: number, into: Stat): number {
  return libc.statx(dirfd, cpath(path), flags, STATX_BASIC_STATS, into.words) === -1 ? -lastErrno() : 0;
}

/** `statx(dirfd, path, flags | AT_SYMLINK_NOFOLLOW)`: the name itself, never what a symbolic link leads to. */
export function lstatat(dirfd: number, path: CPath, into: Stat = new Stat()): Stat {
  const result = tryStatx(dirfd, path, AT_SYMLINK_NOFOLLOW, into);
  if (result < 0) throw failure(-result, "statx", dirfd, path, hex(AT_SYMLINK_NOFOLLOW));
  return into;
}

/** `statx(dirfd, path, 0)`: what the name leads to. */
export function statat(dirfd: number, path: CPath, into: Stat = new Stat()): Stat {
  const result = tryStatx(dirfd, path, 0, into);
  if (result < 0) throw failure(-result, "statx", dirfd, path, 0);
  return into;
}

/** Filled and read within one call. */
const looked = new Stat();

/** Whether there is a directory `path`, which no symbolic link leads to. */
export function isDirectory(path: CPath): boolean {
  return tryStatx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, looked) === 0 && looked.isDirectory;
}

/** Whether there is something at `path` that is no directory, a symbolic link to one included. */
export function isNoDirectory(path: CPath): boolean {
  return tryStatx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, looked) === 0 && !looked.isDirectory;
}

const EMPTY_PATH = new Uint8Array(1);

/** `statx(fd, "", AT_EMPTY_PATH)`: the open file. */
export function fstat(fd: number, into: Stat = new Stat()): Stat {
  const result = tryStatx(fd, EMPTY_PATH, AT_EMPTY_PATH, into);
  if (result < 0) throw failure(-result, "statx", fd, "", hex(AT_EMPTY_PATH));
  return into;
}

/**
 * When what `path` leads to was made, in milliseconds since 1970; undefined where the file system does not keep that, or
 * there is no such name. See statx(2), `STATX_BTIME`.
 */
export function tryBirthTimeMs(dirfd: number, path: CPath): number | undefined {
  const { words } = new Stat();
  if (libc.statx(dirfd, cpath(path), 0, STATX_BTIME, words) === -1) return undefined;
  if ((words[MASK]! & STATX_BTIME) === 0) return undefined;
  const seconds = words[BTIME]! + (words[BTIME + 1]! | 0) * TWO_32;
  return seconds * 1000 + Math.floor(words[BTIME + 2]! / 1e6);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Owners, modes and times: fchownat(2), fchmodat(2), utimensat(2).
 *
 * @module
 */

import { type CPath, cpath } from "./_cstring.ts";
import { lastErrno, libc } from "./_libc.ts";
import { failure, hex, octal } from "./errno.ts";
import { AT_SYMLINK_NOFOLLOW } from "./file.ts";

/** Leaves a time as it is (`UTIME_OMIT`). */
const UTIME_OMIT = 0x3ffffffen;

/** `fchown(fd, uid, gid)`. See chown(2). */
export function fchown(fd: number, uid: number, gid: number): void {
  if (libc.fchown(fd, uid, gid) === -1) throw failure(lastErrno(), "fchown", fd, uid, gid);
}

/** `fchownat(dirfd, path, uid, gid, AT_SYMLINK_NOFOLLOW)`. See chown(2). */
export function lchownat(dirfd: number, path: CPath, uid: number, gid: number): void {
  if (libc.fchownat(dirfd, cpath(path), uid, gid, AT_SYMLINK_NOFOLLOW) === -1) {
    throw failure(lastErrno(), "fchownat", dirfd, path, uid, gid, hex(AT_SYMLINK_NOFOLLOW));
  }
}

/** `fchmod(fd, mode)`. See chmod(2). */
export function fchmod(fd: number, mode: number): void {
  if (libc.fchmod(fd, mode) === -1) throw failure(lastErrno(), "fchmod", fd, octal(mode));
}

/**
 * `fchmodat(dirfd, path, mode, AT_SYMLINK_NOFOLLOW)`: EOPNOTSUPP for a symbolic link, which stays as it is and so does
 * what it leads to. glibc has this since 2.32, by fchmodat2(2) where the kernel is 6.6 or newer. See chmod(2).
 */
export function lchmodat(dirfd: number, path: CPath, mode: number): void {
  if (libc.fchmodat(dirfd, cpath(path), mode, AT_SYMLINK_NOFOLLOW) === -1) {
    throw failure(lastErrno(), "fchmodat", dirfd, path, octal(mode), hex(AT_SYMLINK_NOFOLLOW));
  }
}

/** `fchmodat(dirfd, path, mode, 0)`: follows symbolic links, so the caller has made sure that `path` is none. See chmod(2). */
export function fchmodat(dirfd: number, path: CPath, mode: number): void {
  if (libc.fchmodat(dirfd, cpath(path), mode, 0) === -1) {
    throw failure(lastErrno(), "fchmodat", dirfd, path, octal(mode));
  }
}

const times = new BigInt64Array(4);

/** Both times of `struct timespec times[2]`: an archive tells the modification time, and an access time of today would be noise. */
function bothTimes(seconds: number, nanoseconds: number): BigInt64Array<ArrayBuffer> {
  times[0] = times[2] = BigInt(seconds);
  times[1] = times[3] = BigInt(nanoseconds);
  return times;
}

/** `futimens(fd, {time, time})`. See utimensat(2). */
export function futimens(fd: number, seconds: number, nanoseconds: number): void {
  if (libc.futimens(fd, bothTimes(seconds, nanoseconds)) === -1) {
    throw failure(lastErrno(), "futimens", fd, seconds, nanoseconds);
  }
}

/** `utimensat(dirfd, path, {time, time}, AT_SYMLINK_NOFOLLOW)`. See utimensat(2). */
export function lutimesat(dirfd: number, path: CPath, seconds: number, nanoseconds: number): void {
  if (libc.utimensat(dirfd, cpath(path), bothTimes(seconds, nanoseconds), AT_SYMLINK_NOFOLLOW) === -1) {
    throw failure(lastErrno(), "utimensat", dirfd, path, seconds, nanoseconds, hex(AT_SYMLINK_NOFOLLOW));
  }
}

/** As {@linkcode lutimesat} for the modification time alone. */
export function lmtimeat(dirfd: number, path: CPath, seconds: number, nanoseconds: number): void {
  const pair = new BigInt64Array([0n, UTIME_OMIT, BigInt(seconds), BigInt(nanoseconds)]);
  if (libc.utimensat(dirfd, cpath(path), pair, AT_SYMLINK_NOFOLLOW) === -1) {
    throw failure(lastErrno(), "utimensat", dirfd, path, seconds, nanoseconds, hex(AT_SYMLINK_NOFOLLOW));
  }
}

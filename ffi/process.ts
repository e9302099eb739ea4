// SPDX-License-Identifier: Apache-2.0

/**
 * The process: its page size, ids, umask, root directory, and locks on open files.
 *
 * @module
 */

import { type CPath, cpath } from "./_cstring.ts";
import { lastErrno, libc } from "./_libc.ts";
import { ERRNO, failure } from "./errno.ts";

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

let pageSize: number | undefined;

/** `getpagesize()`: bytes. It stays the same, and is asked for once. See getpagesize(2). */
export function getpagesize(): number {
  return pageSize ??= libc.getpagesize();
}

/** `geteuid()`. See getuid(2). */
export function geteuid(): number {
  return libc.geteuid();
}

/** `getegid()`. See getgid(2). */
export function getegid(): number {
  return libc.getegid();
}

/** `umask(mask)`: sets it for the whole process and returns the one before. See umask(2). */
export function umask(mask: number): number {
  return libc.umask(mask);
}

/** `chroot(path)`, for all threads; the working directory stays where it is. See chroot(2). Requires CAP_SYS_CHROOT. */
export function chroot(path: CPath): void {
  if (libc.chroot(cpath(path)) === -1) throw failure(lastErrno(), "chroot", path);
}

/**
 * `flock(fd, LOCK_EX | LOCK_NB)` or `LOCK_SH`: whether the lock was free. It belongs to the open file, so two opens in
 * one process exclude each other too; it ends with the last descriptor, also by kill -9. See flock(2).
 */
export function tryFlock(fd: number, mode: "shared" | "exclusive"): boolean {
  const operation = (mode === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB;
  if (libc.flock(fd, operation) === 0) return true;
  const errno = lastErrno();
  if (errno === ERRNO.EAGAIN || errno === ERRNO.EINTR) return false;
  throw failure(errno, "flock", fd, operation);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Open files and names: openat(2), openat2(2), read(2), write(2), linkat(2), renameat2(2) and their neighbours.
 *
 * @module
 */

import { type CPath, cpath } from "./_cstring.ts";
import { lastErrno, libc, SYS } from "./_libc.ts";
import { ERRNO, failure, hex, octal } from "./errno.ts";

export type { CPath } from "./_cstring.ts";

const IS_ARM64 = Deno.build.arch === "aarch64";

/** Stands for the current directory where a call takes a directory descriptor. */
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_EMPTY_PATH = 0x1000;
export const AT_RECURSIVE = 0x8000;

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
/** Differs: asm-generic/fcntl.h on x86-64, arch/arm64/include/uapi/asm/fcntl.h on aarch64. */
export const O_DIRECTORY = IS_ARM64 ? 0o40000 : 0o200000;
export const O_NOFOLLOW = IS_ARM64 ? 0o100000 : 0o400000;
export const O_NOATIME = 0o1000000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
export const O_TMPFILE = 0o20000000 | O_DIRECTORY;

export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

/** `openat(dirfd, path, flags | O_CLOEXEC, mode)`. See open(2). */
export function openat(dirfd: number, path: CPath, flags: number, mode = 0): number {
  const fd = libc.openat(dirfd, cpath(path), flags | O_CLOEXEC, mode);
  if (fd === -1) throw failure(lastErrno(), "openat", dirfd, path, hex(flags), octal(mode));
  return fd;
}

/** As {@linkcode openat}; a negative errno instead of a throw, for callers to whom one failure is ordinary. */
export function tryOpenat(dirfd: number, path: CPath, flags: number, mode = 0): number {
  const name = cpath(path);
  const fd = libc.openat(dirfd, name, flags | O_CLOEXEC, mode);
  if (fd !== -1) return fd;
  const errno = lastErrno();
  if (errno !== ERRNO.EAGAIN) return -errno;
  // Hardly an open's own answer, but what the runtime left there before it was read. What failed can be asked again.
  const again = libc.openat(dirfd, name, flags | O_CLOEXEC, mode);
  return again === -1 ? -lastErrno() : again;
}

const OPEN_HOW_SIZE = 24n;
/** `struct open_how`, filled and read within one call. */
const how = new BigUint64Array(3);

/**
 * `openat2(dirfd, path, {flags | O_CLOEXEC, mode, resolve}, 24)`, or a negative errno. See openat2(2), Linux 5.6.
 *
 * A lookup under `RESOLVE_IN_ROOT` that meets a rename elsewhere gives up with EAGAIN; it is tried again here, since
 * every caller would.
 */
export function tryOpenat2(dirfd: number, path: CPath, flags: number, resolve: number, mode = 0): number {
  how[0] = BigInt(flags | O_CLOEXEC);
  how[1] = BigInt(mode);
  how[2] = BigInt(resolve);
  const name = cpath(path);
  for (let attempt = 0;; attempt++) {
    const fd = libc.openat2(SYS.openat2, dirfd, name, how, OPEN_HOW_SIZE);
    if (fd !== -1) return fd;
    const errno = lastErrno();
    if (errno !== ERRNO.EAGAIN || attempt === 1000) return -errno;
  }
}

/** As {@linkcode tryOpenat2}, and throws. */
export function openat2(dirfd: number, path: CPath, flags: number, resolve: number, mode = 0): number {
  const fd = tryOpenat2(dirfd, path, flags, resolve, mode);
  if (fd < 0) throw failure(-fd, "openat2", dirfd, path, hex(flags), hex(resolve));
  return fd;
}

/** `close(fd)`. EINTR counts as closed, as Linux means it: see close(2). */
export function close(fd: number): void {
  if (!Number.isInteger(fd) || fd < 0) throw new RangeError(`Cannot close file descriptor ${fd}: not a descriptor`);
  if (libc.close(fd) === -1) {
    const errno = lastErrno();
    if (errno !== ERRNO.EINTR) throw failure(errno, "close", fd);
  }
}

/**
 * A descriptor that closes with its scope.
 *
 * @example
 * ```ts ignore
 * using directory = new Fd(openat(AT_FDCWD, "/etc", O_RDONLY | O_DIRECTORY));
 * const hosts = openat(directory.fd, "hosts", O_RDONLY);
 * ```
 */
export class Fd implements Disposable {
  #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The number, for a call. */
  get fd(): number {
    if (this.#fd === -1) throw new TypeError("Cannot use a file descriptor that was closed");
    return this.#fd;
  }

  /** Hands the descriptor to somebody else to close. */
  release(): number {
    const fd = this.fd;
    this.#fd = -1;
    return fd;
  }

  [Symbol.dispose](): void {
    if (this.#fd === -1) return;
    const fd = this.#fd;
    this.#fd = -1;
    close(fd);
  }
}

/** `read(fd, buffer, buffer.length)`: bytes read, 0 at the end; tried again on EINTR. See read(2). */
export function read(fd: number, buffer: Uint8Array): number {
  for (;;) {
    const count = libc.read(fd, buffer as Uint8Array<ArrayBuffer>, BigInt(buffer.length));
    if (count !== -1) return count;
    const errno = lastErrno();
    if (errno === ERRNO.EINTR) continue;
    throw failure(errno, "read", fd, "…", buffer.length);
  }
}

/** `read(fd, buffer, buffer.length)`: bytes read, or a negative errno. See read(2). */
export function tryRead(fd: number, buffer: Uint8Array): number {
  const count = libc.read(fd, buffer as Uint8Array<ArrayBuffer>, BigInt(buffer.length));
  return count === -1 ? -lastErrno() : count;
}

/** `write(fd, buffer, length)`: bytes written, or a negative errno. See write(2). */
export function tryWrite(fd: number, buffer: Uint8Array): number {
  const count = libc.write(fd, buffer as Uint8Array<ArrayBuffer>, BigInt(buffer.length));
  return count === -1 ? -lastErrno() : count;
}

/** `write(fd, buffer, length)` until every byte is out. See write(2). */
export function writeAll(fd: number, buffer: Uint8Array): void {
  let rest = buffer;
  while (rest.length > 0) {
    const count = libc.write(fd, rest as Uint8Array<ArrayBuffer>, BigInt(rest.length));
    if (count === -1) {
      const errno = lastErrno();
      if (errno === ERRNO.EINTR) continue;
      throw failure(errno, "write", fd, "…", rest.length);
    }
    rest = rest.subarray(count);
  }
}

/** `copy_file_range(fdIn, NULL, fdOut, NULL, length, 0)`: bytes copied, or a negative errno. See copy_file_range(2). */
export function tryCopyFileRange(fdIn: number, fdOut: number, length: number): number {
  const count = libc.copy_file_range(fdIn, null, fdOut, null, BigInt(length), 0);
  return count === -1 ? -lastErrno() : count;
}

/** `sendfile(fdOut, fdIn, NULL, length)`: bytes sent, or a negative errno. See sendfile(2). */
export function trySendfile(fdOut: number, fdIn: number, length: number): number {
  const count = libc.sendfile(fdOut, fdIn, null, BigInt(length));
  return count === -1 ? -lastErrno() : count;
}

/** Where the next data, or the next hole, of a file begins: for {@linkcode tryLseek}. */
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

/** `lseek(fd, offset, whence)`, or a negative errno. See lseek(2). */
export function tryLseek(fd: number, offset: number, whence: 0 | 1 | 2 | 3 | 4): number {
  const position = libc.lseek(fd, BigInt(offset), whence);
  return position === -1n ? -lastErrno() : Number(position);
}

/** `ftruncate(fd, length)`. See ftruncate(2). */
export function ftruncate(fd: number, length: number): void {
  if (libc.ftruncate(fd, BigInt(length)) === -1) throw failure(lastErrno(), "ftruncate", fd, length);
}

/** `fsync(fd)`. See fsync(2). */
export function fsync(fd: number): void {
  if (libc.fsync(fd) === -1) throw failure(lastErrno(), "fsync", fd);
}

const SYNC_FILE_RANGE_WAIT_BEFORE = 1;
const SYNC_FILE_RANGE_WRITE = 2;
const SYNC_FILE_RANGE_WAIT_AFTER = 4;

/**
 * `sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE)`: all that was written to the file sets out for the disk, and nobody
 * waits for it. See sync_file_range(2).
 */
export function startWriteback(fd: number): void {
  if (libc.sync_file_range(fd, 0n, 0n, SYNC_FILE_RANGE_WRITE) === -1) {
    throw failure(lastErrno(), "sync_file_range", fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  }
}

/**
 * As {@linkcode startWriteback}, and waits until it is there, while this thread goes on. False where it fails: the errno stays
 * with the thread that met it. That does not mean that the file is found after a power cut: its inode may be on the way still.
 */
export async function tryWriteBackBeside(fd: number): Promise<boolean> {
  const flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  return await libc.sync_file_range_beside(fd, 0n, 0n, flags) === 0;
}

/** `syncfs(fd)`: the whole file system that `fd` is on. See syncfs(2). */
export function syncfs(fd: number): void {
  if (libc.syncfs(fd) === -1) throw failure(lastErrno(), "syncfs", fd);
}

/** `pipe2(fds, O_CLOEXEC)`. See pipe(2). */
export function pipe2(): { readFd: number; writeFd: number } {
  const fds = new Int32Array(2);
  if (libc.pipe2(fds, O_CLOEXEC) === -1) throw failure(lastErrno(), "pipe2", hex(O_CLOEXEC));
  return { readFd: fds[0]!, writeFd: fds[1]! };
}

const F_SETPIPE_SZ = 1031;

/** `fcntl(fd, F_SETPIPE_SZ, size)`: bytes granted, or a negative errno (an ordinary user may not exceed 1 MiB). See fcntl(2). */
export function trySetPipeSize(fd: number, size: number): number {
  const granted = libc.fcntl_int(fd, F_SETPIPE_SZ, size);
  return granted === -1 ? -lastErrno() : granted;
}

/** `isatty(fd)`. See isatty(3). */
export function isatty(fd: number): boolean {
  return libc.isatty(fd) === 1;
}

/** `linkat(olddirfd, oldpath, newdirfd, newpath, flags)`. See link(2). */
export function linkat(olddirfd: number, oldpath: CPath, newdirfd: number, newpath: CPath, flags = 0): void {
  if (libc.linkat(olddirfd, cpath(oldpath), newdirfd, cpath(newpath), flags) === -1) {
    throw failure(lastErrno(), "linkat", olddirfd, oldpath, newdirfd, newpath, hex(flags));
  }
}

/** `symlinkat(target, newdirfd, linkpath)`. See symlink(2). */
export function symlinkat(target: CPath, newdirfd: number, linkpath: CPath): void {
  if (libc.symlinkat(cpath(target), newdirfd, cpath(linkpath)) === -1) {
    throw failure(lastErrno(), "symlinkat", target, newdirfd, linkpath);
  }
}

/** As {@linkcode symlinkat}: 0, or a negative errno. */
export function trySymlinkat(target: CPath, newdirfd: number, linkpath: CPath): number {
  return libc.symlinkat(cpath(target), newdirfd, cpath(linkpath)) === -1 ? -lastErrno() : 0;
}

/** `readlinkat(dirfd, path, buffer)`: how many bytes the target has, or a negative errno. See readlink(2). */
export function tryReadlinkat(dirfd: number, path: CPath, buffer: Uint8Array<ArrayBuffer>): number {
  const length = libc.readlinkat(dirfd, cpath(path), buffer, BigInt(buffer.length));
  return length === -1 ? -lastErrno() : length;
}

/** `readlinkat(dirfd, path)`: the target's bytes, whole (PATH_MAX bounds it). See readlink(2). */
export function readlinkat(dirfd: number, path: CPath): Uint8Array<ArrayBuffer> {
  const buffer = new Uint8Array(4096);
  const length = libc.readlinkat(dirfd, cpath(path), buffer, 4096n);
  if (length === -1) throw failure(lastErrno(), "readlinkat", dirfd, path);
  return buffer.subarray(0, length);
}

/** `unlinkat(dirfd, path, flags)`. See unlink(2). */
export function unlinkat(dirfd: number, path: CPath, flags = 0): void {
  if (libc.unlinkat(dirfd, cpath(path), flags) === -1) throw failure(lastErrno(), "unlinkat", dirfd, path, hex(flags));
}

/** As {@linkcode unlinkat}: 0, or a negative errno. */
export function tryUnlinkat(dirfd: number, path: CPath, flags = 0): number {
  return libc.unlinkat(dirfd, cpath(path), flags) === -1 ? -lastErrno() : 0;
}

/** `renameat2(olddirfd, oldpath, newdirfd, newpath, flags)`. See rename(2). */
export function renameat2(olddirfd: number, oldpath: CPath, newdirfd: number, newpath: CPath, flags = 0): void {
  if (libc.renameat2(olddirfd, cpath(oldpath), newdirfd, cpath(newpath), flags) === -1) {
    throw failure(lastErrno(), "renameat2", olddirfd, oldpath, newdirfd, newpath, hex(flags));
  }
}

/** `mkdirat(dirfd, path, mode)`; the process's umask applies. See mkdir(2). */
export function mkdirat(dirfd: number, path: CPath, mode: number): void {
  if (libc.mkdirat(dirfd, cpath(path), mode) === -1) throw failure(lastErrno(), "mkdirat", dirfd, path, octal(mode));
}

/** As {@linkcode mkdirat}: 0, or a negative errno. */
export function tryMkdirat(dirfd: number, path: CPath, mode: number): number {
  return libc.mkdirat(dirfd, cpath(path), mode) === -1 ? -lastErrno() : 0;
}

/** `mknodat(dirfd, path, mode, makedev(major, minor))`; mode carries the type. See mknod(2). */
export function mknodat(dirfd: number, path: CPath, mode: number, major = 0, minor = 0): void {
  if (libc.mknodat(dirfd, cpath(path), mode, makedev(major, minor)) === -1) {
    throw failure(lastErrno(), "mknodat", dirfd, path, octal(mode), `${major}:${minor}`);
  }
}

/** glibc's makedev(3): 12 + 20 bits each, interleaved. */
function makedev(major: number, minor: number): bigint {
  const high = BigInt(major);
  const low = BigInt(minor);
  return ((high & 0xfffff000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffffff00n) << 12n) | (low & 0xffn);
}

/** Whether `faccessat(dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW)` finds the name; ENOENT, ENOTDIR and ELOOP mean no. See access(2). */
export function existsat(dirfd: number, path: CPath): boolean {
  if (libc.faccessat(dirfd, cpath(path), 0, AT_SYMLINK_NOFOLLOW) === 0) return true;
  const errno = lastErrno();
  if (errno === ERRNO.ENOENT || errno === ERRNO.ENOTDIR || errno === ERRNO.ELOOP) return false;
  throw failure(errno, "faccessat", dirfd, path, 0, hex(AT_SYMLINK_NOFOLLOW));
}

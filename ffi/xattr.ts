// SPDX-License-Identifier: Apache-2.0

/**
 * Extended attributes: getxattr(2), setxattr(2), listxattr(2). Values are bytes; names are strings of which each character
 * is one byte, since they need not be UTF-8.
 *
 * @module
 */

import { byteCString, type CPath, cpath } from "./_cstring.ts";
import { lastErrno, libc, SYS } from "./_libc.ts";
import { ERRNO, failure } from "./errno.ts";
import { AT_SYMLINK_NOFOLLOW } from "./file.ts";

/** XATTR_SIZE_MAX and XATTR_LIST_MAX of linux/limits.h. */
const LARGEST = 65536;
/** The kernel allocates what the caller offers: a small first offer is four times as fast. */
const FIRST_OFFER = 256;

type Call = (buffer: Uint8Array<ArrayBuffer>, size: bigint) => number;

/** Calls with a small buffer, then with the largest if the kernel answers ERANGE; the bytes, or a negative errno. */
function grow(call: Call): Uint8Array<ArrayBuffer> | number {
  for (const size of [FIRST_OFFER, LARGEST]) {
    const buffer = new Uint8Array(size);
    const length = call(buffer, BigInt(size));
    if (length !== -1) return buffer.subarray(0, length);
    const errno = lastErrno();
    if (errno !== ERRNO.ERANGE || size === LARGEST) return -errno;
  }
  return -ERRNO.ERANGE;
}

function valueOrNone(
  result: Uint8Array<ArrayBuffer> | number,
  call: string,
  ...args: unknown[]
): Uint8Array<ArrayBuffer> | undefined {
  if (typeof result !== "number") return result;
  if (result === -ERRNO.ENODATA || result === -ERRNO.EOPNOTSUPP) return undefined;
  throw failure(-result, call, ...args);
}

/** `fgetxattr(fd, name)`; undefined where there is none or the file system knows none. See getxattr(2). */
export function fgetxattr(fd: number, name: string): Uint8Array<ArrayBuffer> | undefined {
  const key = byteCString(name);
  return valueOrNone(grow((buffer, size) => libc.fgetxattr(fd, key, buffer, size)), "fgetxattr", fd, name);
}

/** `lgetxattr(path, name)`; undefined where there is none or the file system knows none. See getxattr(2). */
export function lgetxattr(path: CPath, name: string): Uint8Array<ArrayBuffer> | undefined {
  const file = cpath(path);
  const key = byteCString(name);
  return valueOrNone(grow((buffer, size) => libc.lgetxattr(file, key, buffer, size)), "lgetxattr", path, name);
}

/** `fsetxattr(fd, name, value, size, 0)`: 0, or a negative errno. See setxattr(2). */
export function tryFsetxattr(fd: number, name: string, value: Uint8Array): number {
  return libc.fsetxattr(fd, byteCString(name), value as Uint8Array<ArrayBuffer>, BigInt(value.length), 0) === -1
    ? -lastErrno()
    : 0;
}

/** `lsetxattr(path, name, value, size, 0)`: 0, or a negative errno. See setxattr(2). */
export function tryLsetxattr(path: CPath, name: string, value: Uint8Array): number {
  return libc.lsetxattr(cpath(path), byteCString(name), value as Uint8Array<ArrayBuffer>, BigInt(value.length), 0) ===
      -1
    ? -lastErrno()
    : 0;
}

/** `lsetxattr(path, name, value, size, 0)`. See setxattr(2). */
export function lsetxattr(path: CPath, name: string, value: Uint8Array): void {
  const result = tryLsetxattr(path, name, value);
  if (result < 0) throw failure(-result, "lsetxattr", path, name, "…", value.length);
}

/** `lremovexattr(path, name)`: 0, or a negative errno. See removexattr(2). */
export function tryLremovexattr(path: CPath, name: string): number {
  return libc.lremovexattr(cpath(path), byteCString(name)) === -1 ? -lastErrno() : 0;
}

const listBuffer = new Uint8Array(FIRST_OFFER);
const LIST_SIZE = BigInt(FIRST_OFFER);
const NONE: readonly string[] = [];
/** The names in a list of C strings. There are few and short ones, for which no decoder is faster. */
function names(list: Uint8Array): readonly string[] {
  const found: string[] = [];
  let name = "";
  for (const byte of list) {
    if (byte !== 0) name += String.fromCharCode(byte);
    else {
      found.push(name);
      name = "";
    }
  }
  return found;
}

/** `flistxattr(fd)`: the names; none where the file system knows no attributes. See listxattr(2). */
export function flistxattr(fd: number): readonly string[] {
  const length = libc.flistxattr(fd, listBuffer, LIST_SIZE);
  if (length === 0) return NONE;
  if (length > 0) return names(listBuffer.subarray(0, length));
  return listOrNone(lastErrno(), (buffer, size) => libc.flistxattr(fd, buffer, size), "flistxattr", fd);
}

/** `llistxattr(path)`: the names; none where the file system knows no attributes. See listxattr(2). */
export function llistxattr(path: CPath): readonly string[] {
  const file = cpath(path);
  const length = libc.llistxattr(file, listBuffer, LIST_SIZE);
  if (length === 0) return NONE;
  if (length > 0) return names(listBuffer.subarray(0, length));
  return listOrNone(lastErrno(), (buffer, size) => libc.llistxattr(file, buffer, size), "llistxattr", path);
}

/** Linux has it since 6.13; unknown until the first call. */
let hasListxattrat = true;

/**
 * `listxattrat(dirfd, path, AT_SYMLINK_NOFOLLOW)`: the names; undefined where the kernel does not know the call. What has
 * no descriptor is asked by it at a third of the price of a path through /proc. See listxattr(2).
 */
export function tryListxattrat(dirfd: number, path: CPath): readonly string[] | undefined {
  if (!hasListxattrat) return undefined;
  const file = cpath(path);
  const call: Call = (buffer, size) =>
    libc.listxattrat(SYS.listxattrat, dirfd, file, AT_SYMLINK_NOFOLLOW, buffer, size);
  const length = call(listBuffer, LIST_SIZE);
  if (length === 0) return NONE;
  if (length > 0) return names(listBuffer.subarray(0, length));
  const errno = lastErrno();
  hasListxattrat = errno !== ERRNO.ENOSYS && errno !== ERRNO.EPERM;
  return hasListxattrat ? listOrNone(errno, call, "listxattrat", dirfd, path) : undefined;
}

function listOrNone(errno: number, call: Call, name: string, ...args: unknown[]): readonly string[] {
  if (errno === ERRNO.EOPNOTSUPP) return NONE;
  if (errno !== ERRNO.ERANGE) throw failure(errno, name, ...args);
  const list = valueOrNone(grow(call), name, ...args);
  return list === undefined || list.length === 0 ? NONE : names(list);
}

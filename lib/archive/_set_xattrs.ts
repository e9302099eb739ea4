// SPDX-License-Identifier: Apache-2.0

/**
 * Setting the extended attributes of unpacked files.
 *
 * @module
 */

import { ERRNO, failure } from "../../ffi/errno.ts";
import { tryFsetxattr, tryLsetxattr } from "../../ffi/xattr.ts";
import { StorageError } from "../errors.ts";
import { type ByteString, CName, textOfBytes } from "../util/byte_string.ts";
import { leafOf } from "./entry_path.ts";

/** A name and a value. */
export type Xattr = readonly [name: string, value: Uint8Array];

/** Whether a failure to set the attribute `name` is to be passed over. */
export type MayFail = (name: string, errno: number) => boolean;

/** Sets attributes of the file open at `fd`; `path` is for the message. */
export function setXattrs(fd: number, path: ByteString, xattrs: readonly Xattr[], mayFail?: MayFail): void {
  for (const [name, value] of xattrs) {
    const result = tryFsetxattr(fd, name, value);
    if (result < 0 && mayFail?.(name, -result) !== true) throw xattrError(path, name, -result);
  }
}

/**
 * Sets attributes of what has no descriptor that takes them (directories open as a path only, links, devices): through
 * the name that its parent's descriptor has in /proc.
 */
export function setXattrsOf(
  parent: { fd: number },
  path: ByteString,
  xattrs: readonly Xattr[],
  mayFail?: MayFail,
): void {
  const name = new CName().fill(`/proc/self/fd/${parent.fd}/${leafOf(path)}`);
  for (const [key, value] of xattrs) {
    const result = tryLsetxattr(name, key, value);
    if (result < 0 && mayFail?.(key, -result) !== true) throw xattrError(path, key, -result);
  }
}

function xattrError(path: ByteString, name: string, errno: number): Error {
  const cause = failure(errno, "setxattr", textOfBytes(path), name, "…");
  if (errno === ERRNO.EINVAL || errno === ERRNO.ERANGE || errno === ERRNO.E2BIG) {
    return new StorageError(
      "invalid_archive",
      `Cannot set ${JSON.stringify(name)} on "${textOfBytes(path)}": no such attribute can have this name or value`,
      { cause },
    );
  }
  if (errno !== ERRNO.EOPNOTSUPP) return cause;
  return new StorageError(
    "not_supported",
    `Cannot set ${name} on "${textOfBytes(path)}": the file system does not keep such attributes`,
    {
      cause,
      hint:
        "keep the store on a file system with extended attributes, such as ext4, XFS or btrfs, or do without them: " +
        "--xattrs NAMESPACE=best-effort",
    },
  );
}

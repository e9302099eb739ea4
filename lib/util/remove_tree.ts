// SPDX-License-Identifier: Apache-2.0

/**
 * Removing a directory with everything in it, by descriptors: a symbolic link is removed and never followed, a mount is
 * never entered.
 *
 * @module
 */

import { DT_DIR, DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { ERRNO, failure, hex } from "../../ffi/errno.ts";
import {
  AT_REMOVEDIR,
  type CPath,
  Fd,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat2,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  tryUnlinkat,
} from "../../ffi/file.ts";
import { type ByteString, byteString, CName } from "./byte_string.ts";

/**
 * Removes `name` of the directory `dirfd`, whatever it is. A name that is not there is no error.
 *
 * @throws {SyscallError} EBUSY or EXDEV if something is mounted at or below it; what could be removed is gone by then.
 */
export function removeTree(dirfd: number, name: CPath): void {
  const result = tryUnlinkat(dirfd, name);
  if (result === 0 || result === -ERRNO.ENOENT) return;
  if (result !== -ERRNO.EISDIR && result !== -ERRNO.EPERM) throw failure(-result, "unlinkat", dirfd, name, 0);
  removeDirectory(dirfd, name);
}

function removeDirectory(dirfd: number, name: CPath): void {
  const empty = tryUnlinkat(dirfd, name, AT_REMOVEDIR);
  if (empty === 0 || empty === -ERRNO.ENOENT) return;
  if (empty !== -ERRNO.ENOTEMPTY && empty !== -ERRNO.EEXIST) {
    throw failure(-empty, "unlinkat", dirfd, name, hex(AT_REMOVEDIR));
  }
  {
    // NO_XDEV: a file system mounted below is somebody's data.
    using directory = new Fd(
      openat2(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS),
    );
    emptyDirectory(directory.fd);
  }
  const result = tryUnlinkat(dirfd, name, AT_REMOVEDIR);
  if (result < 0 && result !== -ERRNO.ENOENT) throw failure(-result, "unlinkat", dirfd, name, hex(AT_REMOVEDIR));
}

/** Removes everything in the open directory `fd`, which stays. */
export function emptyDirectory(fd: number): void {
  const leaf = new CName();
  const directories: ByteString[] = [];
  readDirectory(fd, (buffer, start, end, type) => {
    const name = byteString(buffer, start, end);
    if (type === DT_DIR) directories.push(name);
    else {
      const result = tryUnlinkat(fd, leaf.fill(name));
      if (result === -ERRNO.EISDIR && type === DT_UNKNOWN) directories.push(name);
      else if (result < 0 && result !== -ERRNO.ENOENT) throw failure(-result, "unlinkat", fd, name, 0);
    }
  });
  for (const name of directories) removeDirectory(fd, new CName().fill(name));
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Small files of a store that nobody vouches for: each is a regular file of a sane size where it should be, or it is told
 * what it is instead. No link is followed, and nothing outside of the home is opened.
 *
 * @module
 */

import { ERRNO, failure, hex } from "../../ffi/errno.ts";
import {
  Fd,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  read,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  tryOpenat2,
} from "../../ffi/file.ts";
import { fstat, Stat } from "../../ffi/stat.ts";
import { textOf } from "../util/text.ts";

/** 500 short names with their commas take 14.5 kB; no file of a store is longer. */
const MOST_BYTES = 64 * 1024;

/** A file as it was found: its text, or what is wrong with it. */
export type StoreFile =
  | { readonly text: string; readonly fault?: undefined }
  | { readonly text?: undefined; readonly fault: string };

/** What is wrong with a file that is not there. */
export const MISSING: StoreFile = { fault: "is missing" };

const stat = new Stat();

/** Reads `path` below the open directory `dirfd`. */
export function readStoreFile(dirfd: number, path: string): StoreFile {
  const fd = tryOpenat2(
    dirfd,
    path,
    O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
  );
  if (fd === -ERRNO.ENOENT || fd === -ERRNO.ENOTDIR) return MISSING;
  if (fd === -ERRNO.ELOOP || fd === -ERRNO.ENXIO) return { fault: "is no regular file" };
  if (fd < 0) throw failure(-fd, "openat2", dirfd, path, hex(O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  using file = new Fd(fd);
  if (!fstat(file.fd, stat).isFile) return { fault: "is no regular file" };
  if (stat.size > MOST_BYTES) return { fault: `has ${stat.size} bytes` };
  const bytes = new Uint8Array(stat.size);
  let length = 0;
  while (length < bytes.length) {
    const count = read(file.fd, bytes.subarray(length));
    if (count === 0) break;
    length += count;
  }
  return { text: textOf(bytes.subarray(0, length)) };
}

/** Whether two looks at a file saw the same. */
export function isSameFile(a: StoreFile, b: StoreFile): boolean {
  return a.text === b.text && a.fault === b.fault;
}

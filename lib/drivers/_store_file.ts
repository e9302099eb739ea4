// SPDX-License-Identifier: Apache-2.0

/**
 * Small files of a store that nobody vouches for: each is a regular file of a sane size where it should be, or it is told
 * what it is instead. No link is followed, and nothing outside of the home is opened.
 *
 * @module
 */

import { ERRNO, failure, hex, isErrno } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  Fd,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  read,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  tryOpenat,
  tryOpenat2,
} from "../../ffi/file.ts";
import { fstat, Stat } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";
import { textOf } from "../util/text.ts";

/** 500 short names with their commas take 14.5 kB; no file of a store is longer. */
const MOST_BYTES = 64 * 1024;
/** Opened so, a symbolic link fails, and a named pipe does not wait for its other end. */
const FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
/** What is in place of a file. */
const NO_FILE = "is no regular file";

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
    FLAGS,
    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
  );
  if (fd === -ERRNO.ENOENT || fd === -ERRNO.ENOTDIR) return MISSING;
  if (fd === -ERRNO.ELOOP || fd === -ERRNO.ENXIO) return { fault: NO_FILE };
  if (fd < 0) throw failure(-fd, "openat2", dirfd, path, hex(FLAGS));
  using file = new Fd(fd);
  if (!fstat(file.fd, stat).isFile) return { fault: NO_FILE };
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

/** Filled and emptied within one call: making one each time would cost more than the system calls. */
const piece = new Uint8Array(MOST_BYTES);

/**
 * Reads the file `path` of a layer that is used: three calls, where {@linkcode readStoreFile} has more to tell.
 *
 * @returns Undefined where there is no such file.
 * @throws {StorageError} `store_damaged`: it is no regular file, or longer than any file of a store.
 */
export function readLayerFile(path: string): string | undefined {
  const fd = tryOpenat(AT_FDCWD, path, FLAGS);
  if (fd === -ERRNO.ENOENT || fd === -ERRNO.ENOTDIR) return undefined;
  if (fd === -ERRNO.ELOOP || fd === -ERRNO.ENXIO) throw unreadable(path, NO_FILE);
  if (fd < 0) throw failure(-fd, "openat", AT_FDCWD, path, hex(FLAGS));
  using file = new Fd(fd);
  try {
    // Of a file on a disk a read is short at its end only.
    const length = read(file.fd, piece);
    if (length < piece.length) return textOf(piece.subarray(0, length));
  } catch (error) {
    if (isErrno(error, "EISDIR", "EAGAIN")) throw unreadable(path, NO_FILE);
    throw error;
  }
  throw unreadable(path, `has ${MOST_BYTES} bytes or more`);
}

function unreadable(path: string, fault: string): StorageError {
  return new StorageError("store_damaged", `Cannot use ${path}: it ${fault}`, {
    hint: "see what else is wrong: lamina check",
  });
}

/** Whether two looks at a file saw the same. */
export function isSameFile(a: StoreFile, b: StoreFile): boolean {
  return a.text === b.text && a.fault === b.fault;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Small files as text. Deno's own calls ask for every permission to read `/proc`, and report no errno.
 *
 * @module
 */

import { ERRNO, failure, hex } from "../../ffi/errno.ts";
import { AT_FDCWD, type CPath, Fd, O_RDONLY, read, tryOpenat } from "../../ffi/file.ts";

const decoder = new TextDecoder();
/** Filled and emptied within one call: making one each time would cost more than the system calls. */
const piece = new Uint8Array(16 * 1024);

/** The whole content of `path`, below the directory `dirfd` if it is relative. */
export function readTextFile(path: CPath, dirfd: number = AT_FDCWD): string {
  const fd = tryOpenat(dirfd, path, O_RDONLY);
  if (fd < 0) throw failure(-fd, "openat", dirfd, path, hex(O_RDONLY));
  return readWhole(fd);
}

/** As {@linkcode readTextFile}; undefined where there is no such file. */
export function readTextFileIfExists(path: CPath, dirfd: number = AT_FDCWD): string | undefined {
  const fd = tryOpenat(dirfd, path, O_RDONLY);
  if (fd === -ERRNO.ENOENT || fd === -ERRNO.ENOTDIR) return undefined;
  if (fd < 0) throw failure(-fd, "openat", dirfd, path, hex(O_RDONLY));
  return readWhole(fd);
}

function readWhole(fd: number): string {
  using file = new Fd(fd);
  const first = read(file.fd, piece);
  if (first === 0) return "";
  const pieces = [piece.slice(0, first)];
  for (let length = read(file.fd, piece); length > 0; length = read(file.fd, piece)) {
    pieces.push(piece.slice(0, length));
  }
  if (pieces.length === 1) return decoder.decode(pieces[0]);
  const streaming = new TextDecoder();
  return pieces.map((bytes) => streaming.decode(bytes, { stream: true })).join("") + streaming.decode();
}

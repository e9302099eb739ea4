// SPDX-License-Identifier: Apache-2.0

/**
 * Small files as text. Deno's own calls ask for every permission to read `/proc`, and report no errno.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, type CPath, Fd, O_RDONLY, openat, read } from "../../ffi/file.ts";

const decoder = new TextDecoder();
const PIECE = 16 * 1024;

/** The whole content of `path`, below the directory `dirfd` if it is relative. */
export function readTextFile(path: CPath, dirfd: number = AT_FDCWD): string {
  using file = new Fd(openat(dirfd, path, O_RDONLY));
  const pieces: Uint8Array[] = [];
  for (;;) {
    const piece = new Uint8Array(PIECE);
    const length = read(file.fd, piece);
    if (length === 0) break;
    pieces.push(piece.subarray(0, length));
  }
  if (pieces.length === 1) return decoder.decode(pieces[0]);
  let text = "";
  const streaming = new TextDecoder();
  for (const piece of pieces) text += streaming.decode(piece, { stream: true });
  return text + streaming.decode();
}

/** As {@linkcode readTextFile}; undefined where there is no such file. */
export function readTextFileIfExists(path: CPath, dirfd: number = AT_FDCWD): string | undefined {
  try {
    return readTextFile(path, dirfd);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

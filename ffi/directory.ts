// SPDX-License-Identifier: Apache-2.0

/**
 * Directory entries: getdents64(2).
 *
 * @module
 */

import { lastErrno, libc, SYS } from "./_libc.ts";
import { failure } from "./errno.ts";

/** Entry types of `struct linux_dirent64` (dirent.h). A file system may answer `DT_UNKNOWN` for everything. */
export const DT_UNKNOWN = 0;
export const DT_FIFO = 1;
export const DT_CHR = 2;
export const DT_DIR = 4;
export const DT_BLK = 6;
export const DT_REG = 8;
export const DT_LNK = 10;
export const DT_SOCK = 12;

const BUFFER_SIZE = 32 * 1024;
const BUFFER_LENGTH = BigInt(BUFFER_SIZE);
const RECORD_LENGTH = 16;
const TYPE = 18;
const NAME = 19;

/** The buffer of the last call that ended: a walk would make, and clear, one for each directory. */
let spare: Uint8Array<ArrayBuffer> | undefined;

/**
 * Calls `visit` for each entry of the directory open at `fd`, without `.` and `..`, in the file system's order.
 *
 * `buffer` holds the name at `[start, end)`, followed by a NUL; it is only good during the call.
 */
export function readDirectory(
  fd: number,
  visit: (buffer: Uint8Array<ArrayBuffer>, start: number, end: number, type: number) => void,
): void {
  const buffer = spare ?? new Uint8Array(BUFFER_SIZE);
  spare = undefined;
  for (;;) {
    const length = libc.getdents64(SYS.getdents64, fd, buffer, BUFFER_LENGTH);
    if (length === -1) throw failure(lastErrno(), "getdents64", fd, "…", BUFFER_SIZE);
    if (length === 0) break;
    for (let record = 0; record < length;) {
      const start = record + NAME;
      let end = start;
      while (buffer[end] !== 0) end++;
      const isDot = buffer[start] === 0x2e && (end - start === 1 || (end - start === 2 && buffer[start + 1] === 0x2e));
      if (!isDot) visit(buffer, start, end, buffer[record + TYPE]!);
      record += buffer[record + RECORD_LENGTH]! | (buffer[record + RECORD_LENGTH + 1]! << 8);
    }
  }
  spare = buffer;
}

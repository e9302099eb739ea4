// SPDX-License-Identifier: Apache-2.0

/**
 * Content from one open file to another.
 *
 * @module
 */

import { read, tryCopyFileRange, writeAll } from "../../ffi/file.ts";

const AT_ONCE = 16 * 1024 * 1024;
const BUFFER_SIZE = 256 * 1024;

/**
 * Copies up to `count` bytes from where `fdIn` stands to where `fdOut` stands, inside the kernel where it can; how many
 * there were. `tick` is called between large pieces.
 */
export function copyFile(fdIn: number, fdOut: number, count: number, tick: () => void): number {
  let copied = 0;
  while (copied < count) {
    const got = tryCopyFileRange(fdIn, fdOut, Math.min(count - copied, AT_ONCE));
    // Not between these two files, or not at all; a real fault comes back from read or write.
    if (got < 0) return copied + copyThroughMemory(fdIn, fdOut, count - copied, tick);
    if (got === 0) break;
    copied += got;
    tick();
  }
  return copied;
}

function copyThroughMemory(fdIn: number, fdOut: number, count: number, tick: () => void): number {
  const buffer = new Uint8Array(Math.min(count, BUFFER_SIZE));
  let copied = 0;
  while (copied < count) {
    const got = read(fdIn, buffer.subarray(0, Math.min(buffer.length, count - copied)));
    if (got === 0) break;
    writeAll(fdOut, buffer.subarray(0, got));
    copied += got;
    tick();
  }
  return copied;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Bytes to a descriptor through one buffer, with a way past the buffer for large files.
 *
 * @module
 */

import { read, trySendfile, writeAll } from "../../ffi/file.ts";

const CAPACITY = 256 * 1024;
const SENDFILE_FROM = 128 * 1024;
const SENDFILE_AT_MOST = 16 * 1024 * 1024;

/** Writes forward only, so that pipes will do. */
export class FdWriter {
  /** What was put and not written yet lies at `[0, end)`. */
  readonly buffer: Uint8Array<ArrayBuffer> = new Uint8Array(CAPACITY);
  end = 0;
  /** Bytes put so far. */
  position = 0;
  #sendfileWorks = true;

  constructor(readonly fd: number) {}

  /** Room for `count` bytes, at most the buffer's capacity, which count as put: returns where they go. */
  reserve(count: number): number {
    if (this.end + count > CAPACITY) this.flush();
    const offset = this.end;
    this.end += count;
    this.position += count;
    return offset;
  }

  /** Puts bytes of any length. */
  put(bytes: Uint8Array): void {
    if (bytes.length > CAPACITY) {
      this.flush();
      writeAll(this.fd, bytes);
      this.position += bytes.length;
    } else {
      const offset = this.reserve(bytes.length);
      this.buffer.set(bytes, offset);
    }
  }

  /** Puts `count` zero bytes, at most the buffer's capacity. */
  putZeros(count: number): void {
    const offset = this.reserve(count);
    this.buffer.fill(0, offset, offset + count);
  }

  /**
   * Puts the next `count` bytes of `fdIn`, inside the kernel where it can; how many there were. `tick` is called between
   * large pieces.
   */
  copyFrom(fdIn: number, count: number, tick: () => void): number {
    let copied = 0;
    if (this.#sendfileWorks && count >= SENDFILE_FROM) {
      this.flush();
      while (copied < count) {
        const sent = trySendfile(this.fd, fdIn, Math.min(count - copied, SENDFILE_AT_MOST));
        if (sent === 0) return copied;
        if (sent < 0) {
          // An output opened for appending, say. A real fault of either side comes back from read or write below.
          this.#sendfileWorks = false;
          break;
        }
        copied += sent;
        this.position += sent;
        tick();
      }
    }
    while (copied < count) {
      if (this.end === CAPACITY) this.flush();
      const room = Math.min(count - copied, CAPACITY - this.end);
      const got = read(fdIn, this.buffer.subarray(this.end, this.end + room));
      if (got === 0) break;
      this.end += got;
      this.position += got;
      copied += got;
      if (this.end === CAPACITY) tick();
    }
    return copied;
  }

  /** Writes what is in the buffer. */
  flush(): void {
    writeAll(this.fd, this.buffer.subarray(0, this.end));
    this.end = 0;
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Bytes from a descriptor through one buffer, with a way past the buffer for large pieces.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { read, trySendfile, writeAll } from "../../ffi/file.ts";

const CAPACITY = 256 * 1024;
/** Below this a copy inside the kernel saves less than its calls cost. */
const SENDFILE_FROM = 128 * 1024;
const SENDFILE_AT_MOST = 16 * 1024 * 1024;

/** Reads forward only, so that pipes will do. */
export class FdReader {
  /** What was read and not used yet lies at `[start, end)`. */
  readonly buffer: Buffer = Buffer.allocUnsafeSlow(CAPACITY);
  /** The same bytes: views of a Buffer cost several times what views of an array do. */
  readonly #bytes = new Uint8Array(this.buffer.buffer);
  start = 0;
  end = 0;
  /** Bytes taken so far. */
  position = 0;
  #sendfileWorks = true;

  /** @param head Bytes that were read from `fd` before, to see what it is. */
  constructor(readonly fd: number, head: Uint8Array = new Uint8Array()) {
    this.buffer.set(head);
    this.end = head.length;
  }

  /**
   * Makes at least `count` bytes lie at `start` without a gap; false if the input ends before. `count` is at most the
   * buffer's capacity.
   */
  ensure(count: number): boolean {
    if (this.end - this.start >= count) return true;
    this.#bytes.copyWithin(0, this.start, this.end);
    this.end -= this.start;
    this.start = 0;
    while (this.end < count) {
      const got = read(this.fd, this.#bytes.subarray(this.end));
      if (got === 0) return false;
      this.end += got;
    }
    return true;
  }

  /** Marks `count` bytes at `start` as used. */
  advance(count: number): void {
    this.start += count;
    this.position += count;
  }

  /** A copy of the next `count` bytes, or undefined if the input ends before. */
  take(count: number): Uint8Array<ArrayBuffer> | undefined {
    const bytes = new Uint8Array(count);
    const taken = this.#forEachPiece(count, (piece, offset) => bytes.set(piece, offset));
    return taken === count ? bytes : undefined;
  }

  /** Passes over `count` bytes; how many there were. `tick` is called between large pieces. */
  skip(count: number, tick: () => void = (): void => {}): number {
    return this.#forEachPiece(count, tick);
  }

  /**
   * Writes the next `count` bytes to `fdOut`, inside the kernel where it can; how many there were. `tick` is called
   * between large pieces.
   */
  copyTo(fdOut: number, count: number, tick: () => void): number {
    const buffered = Math.min(count, this.end - this.start);
    if (buffered > 0) {
      writeAll(fdOut, this.#bytes.subarray(this.start, this.start + buffered));
      this.advance(buffered);
    }
    let copied = buffered;
    while (this.#sendfileWorks && count - copied >= SENDFILE_FROM) {
      tick();
      const sent = trySendfile(fdOut, this.fd, Math.min(count - copied, SENDFILE_AT_MOST));
      if (sent === 0) return copied;
      if (sent < 0) {
        // The input is a pipe or a device. A real fault of either side comes back from read or write below.
        this.#sendfileWorks = false;
        break;
      }
      this.position += sent;
      copied += sent;
    }
    return copied + this.#forEachPiece(count - copied, (piece) => {
      writeAll(fdOut, piece);
      tick();
    });
  }

  /** Reads to the end of the input and forgets it, so that who writes the other end of a pipe can finish. */
  drain(tick: () => void): void {
    this.skip(this.end - this.start);
    while (this.ensure(1)) {
      this.skip(this.end - this.start);
      tick();
    }
  }

  #forEachPiece(count: number, use: (piece: Uint8Array, offset: number) => void): number {
    let done = 0;
    while (done < count) {
      if (this.start === this.end && !this.ensure(1)) break;
      const length = Math.min(count - done, this.end - this.start);
      use(this.#bytes.subarray(this.start, this.start + length), done);
      this.advance(length);
      done += length;
    }
    return done;
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Bytes from a descriptor through a buffer, with a way past the buffer for large pieces.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { read, trySendfile, writeAll } from "../../ffi/file.ts";
import { fstat, Stat } from "../../ffi/stat.ts";
import { waitUntilReadable } from "../../ffi/poll.ts";
import { ChunkRing } from "./chunk_ring.ts";

/** Below this a copy inside the kernel saves less than its calls cost. */
export const SENDFILE_FROM = 128 * 1024;
const SENDFILE_AT_MOST = 16 * 1024 * 1024;
/** How often a wait for input is interrupted to see whether it is still wanted. */
const LOOK_MS = 50;

/** Gets every byte that is read, once and in order, as places in {@linkcode FdReader.ring}. */
export interface InputTap {
  add(offset: number, length: number): void;
}

/** Reads forward only, so that pipes will do. */
export class FdReader {
  readonly ring = new ChunkRing();
  /** What was read and not used yet lies at `[start, end)`. */
  readonly buffer: Buffer = Buffer.from(this.ring.memory as unknown as ArrayBuffer);
  start = 0;
  end = 0;
  /** Bytes taken so far. */
  position = 0;
  /** Where in the chunk in use the bytes begin that `tap` did not get yet. */
  #untapped = 0;
  #tap: InputTap | undefined;
  readonly #canStall: boolean;
  /** About how many bytes the input has, where that can be known before reading: 0 for a pipe. */
  readonly sizeHint: number;
  #sendfileWorks = true;

  /**
   * @param head Bytes that were read from `fd` before, to see what it is.
   * @param onWait Called some twenty times a second while a pipe or socket gives nothing; what it throws ends the wait.
   */
  constructor(readonly fd: number, head: Uint8Array = new Uint8Array(), readonly onWait?: () => void) {
    this.buffer.set(head);
    this.end = head.length;
    const stat = fstat(fd, new Stat());
    this.#canStall = onWait !== undefined && !stat.isFile;
    this.sizeHint = stat.isFile ? stat.size : 0;
  }

  /** Whether large pieces go from file to file inside the kernel. */
  get bypassesBuffer(): boolean {
    return this.#sendfileWorks && this.#tap === undefined;
  }

  /** From the first byte on, `tap` gets everything. */
  setTap(tap: InputTap): void {
    this.#tap = tap;
  }

  /** Gives `tap` what it did not get yet. */
  flushTap(): void {
    if (this.end > this.#untapped) this.#tap?.add(this.#untapped, this.end - this.#untapped);
    this.#untapped = this.end;
  }

  /**
   * Makes at least `count` bytes lie at `start` without a gap; false if the input ends before. `count` is at most a
   * chunk.
   */
  ensure(count: number): boolean {
    if (this.end - this.start >= count) return true;
    if (this.ring.limit - this.start < count || this.end === this.ring.limit) this.#moveRest();
    while (this.end - this.start < count) {
      if (this.#canStall) this.#awaitInput();
      const got = read(this.fd, this.ring.bytes.subarray(this.end, this.ring.limit));
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
    let taken = 0;
    this.forEachPiece(count, (offset, length) => {
      bytes.set(this.ring.bytes.subarray(offset, offset + length), taken);
      taken += length;
    });
    return taken === count ? bytes : undefined;
  }

  /** Passes over `count` bytes; how many there were. `tick` is called between large pieces. */
  skip(count: number, tick: () => void = (): void => {}): number {
    return this.forEachPiece(count, tick);
  }

  /**
   * Writes the next `count` bytes to `fdOut`, inside the kernel where it can; how many there were. `tick` is called
   * between large pieces.
   */
  copyTo(fdOut: number, count: number, tick: () => void): number {
    const buffered = Math.min(count, this.end - this.start);
    if (buffered > 0) {
      writeAll(fdOut, this.ring.bytes.subarray(this.start, this.start + buffered));
      this.advance(buffered);
    }
    let copied = buffered;
    while (this.bypassesBuffer && count - copied >= SENDFILE_FROM) {
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
    return copied + this.forEachPiece(count - copied, (offset, length) => {
      writeAll(fdOut, this.ring.bytes.subarray(offset, offset + length));
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

  /** Takes the next `count` bytes as places in the ring; how many there were. A piece is `use`d up when the call returns. */
  forEachPiece(count: number, use: (offset: number, length: number) => void): number {
    let done = 0;
    while (done < count) {
      if (this.start === this.end && !this.ensure(1)) break;
      const length = Math.min(count - done, this.end - this.start);
      use(this.start, length);
      this.advance(length);
      done += length;
    }
    return done;
  }

  /** Goes on at the beginning of a chunk, with what is not used yet. */
  #moveRest(): void {
    this.flushTap();
    if (this.ring.isShared) {
      this.ring.mark();
      this.ring.advance();
    }
    const { base } = this.ring;
    this.ring.bytes.copyWithin(base, this.start, this.end);
    this.end = base + this.end - this.start;
    this.start = base;
    this.#untapped = this.end;
  }

  #awaitInput(): void {
    while (!waitUntilReadable(this.fd, LOOK_MS)) this.onWait!();
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Bytes to a descriptor through a buffer, with a way past the buffer for large files.
 *
 * @module
 */

import { ERRNO } from "../../ffi/errno.ts";
import { read, trySendfile } from "../../ffi/file.ts";
import type { ByteString } from "./byte_string.ts";
import { ChunkRing, type ChunkUser } from "./chunk_ring.ts";
import { OutputFd } from "./output_fd.ts";

export const SENDFILE_FROM = 128 * 1024;
const SENDFILE_AT_MOST = 16 * 1024 * 1024;

/** Gets every byte that is written, once and in order, as places in {@linkcode FdWriter.ring}. */
export interface OutputTap {
  add(offset: number, length: number): void;
}

/** Puts bytes into places that were reserved, from another thread. */
export interface Filler extends ChunkUser {
  isDone(job: number): boolean;
}

/** A chunk that is full but not written, since places in it may not be filled yet. */
interface WaitingChunk {
  chunk: number;
  from: number;
  to: number;
  /** The filler's last job on it. */
  job: number;
}

/** Writes forward only, so that pipes will do. */
export class FdWriter implements Disposable {
  readonly ring = new ChunkRing();
  readonly bytes: Uint8Array<SharedArrayBuffer> = this.ring.bytes;
  /** Bytes put so far. */
  position = 0;
  /** What was put in the chunk in use and not written yet lies at `[#from, #end)`. */
  #from = 0;
  #end = 0;
  readonly #waiting: WaitingChunk[] = [];
  #filler: Filler | undefined;
  #tap: OutputTap | undefined;
  readonly #output: OutputFd;
  #sendfileWorks = true;

  /** @param onWait Called some twenty times a second while a pipe takes nothing; what it throws ends the wait. */
  constructor(fd: number, onWait: () => void = (): void => {}) {
    this.#output = new OutputFd(fd, onWait);
  }

  [Symbol.dispose](): void {
    this.#output[Symbol.dispose]();
  }

  /** Whether large pieces go from file to file inside the kernel. */
  get bypassesBuffer(): boolean {
    return this.#sendfileWorks && this.#tap === undefined;
  }

  /** From the first byte on, `tap` gets everything. */
  setTap(tap: OutputTap): void {
    this.#tap = tap;
  }

  /** From now on `filler` fills some of the places that are reserved. */
  setFiller(filler: Filler): void {
    this.#filler = filler;
  }

  /** Room for `count` bytes, at most a chunk, which count as put: returns where they go. */
  reserve(count: number): number {
    if (this.#end + count > this.ring.limit) this.#leaveChunk();
    const offset = this.#end;
    this.#end += count;
    this.position += count;
    return offset;
  }

  /** Room for any number of bytes, in pieces. */
  reservePieces(count: number, use: (offset: number, length: number) => void): void {
    for (let left = count; left > 0;) {
      if (this.#end === this.ring.limit) this.#leaveChunk();
      const length = Math.min(left, this.ring.limit - this.#end);
      use(this.reserve(length), length);
      left -= length;
    }
  }

  /** Puts bytes of any length. */
  put(bytes: Uint8Array): void {
    let done = 0;
    this.reservePieces(bytes.length, (offset, length) => {
      this.bytes.set(bytes.subarray(done, done + length), offset);
      done += length;
    });
  }

  /** Puts the bytes of a string of which each character is one. */
  putString(bytes: ByteString): void {
    let done = 0;
    this.reservePieces(bytes.length, (offset, length) => {
      for (let i = 0; i < length; i++) this.bytes[offset + i] = bytes.charCodeAt(done++);
    });
  }

  /** Puts `count` zero bytes, at most a chunk. */
  putZeros(count: number): void {
    const offset = this.reserve(count);
    this.bytes.fill(0, offset, offset + count);
  }

  /**
   * Puts the next `count` bytes of `fdIn`, inside the kernel where it can; how many there were. `tick` is called between
   * large pieces.
   */
  copyFrom(fdIn: number, count: number, tick: () => void): number {
    let copied = 0;
    if (count >= SENDFILE_FROM && this.bypassesBuffer) {
      this.flush();
      while (copied < count) {
        const sent = trySendfile(this.#output.fd, fdIn, Math.min(count - copied, SENDFILE_AT_MOST));
        if (sent === 0) return copied;
        if (sent === -ERRNO.EAGAIN) {
          this.#output.awaitReader();
          continue;
        }
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
      if (this.#end === this.ring.limit) {
        this.#leaveChunk();
        tick();
      }
      const room = Math.min(count - copied, this.ring.limit - this.#end);
      const got = read(fdIn, this.bytes.subarray(this.#end, this.#end + room));
      if (got === 0) break;
      this.#end += got;
      this.position += got;
      copied += got;
    }
    return copied;
  }

  /** Writes everything that was put. */
  flush(): void {
    while (this.#waiting.length > 0) this.#writeWaiting();
    this.#filler?.waitFor(this.#filler.posted);
    this.#write(this.#from, this.#end);
    this.#from = this.#end;
  }

  #leaveChunk(): void {
    if (this.#filler !== undefined || this.ring.isShared) {
      this.#waiting.push({ chunk: this.ring.current, from: this.#from, to: this.#end, job: this.#filler?.posted ?? 0 });
      while (this.#waiting.length === this.ring.chunks || this.#oldestIsFilled()) this.#writeWaiting();
      this.ring.advance();
    } else this.#write(this.#from, this.#end);
    this.#from = this.#end = this.ring.base;
  }

  #oldestIsFilled(): boolean {
    const oldest = this.#waiting[0];
    return oldest !== undefined && (this.#filler === undefined || this.#filler.isDone(oldest.job));
  }

  #writeWaiting(): void {
    const { chunk, from, to, job } = this.#waiting[0]!;
    this.#filler?.waitFor(job);
    this.#write(from, to);
    this.ring.mark(chunk);
    this.#waiting.shift();
  }

  #write(from: number, to: number): void {
    if (from === to) return;
    this.#tap?.add(from, to - from);
    this.#output.write(this.bytes.subarray(from, to));
  }
}

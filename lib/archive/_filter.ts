// SPDX-License-Identifier: Apache-2.0

/**
 * What a filter Worker is told, and how it tells its end to a thread that waits without an event loop.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Digest } from "../digest.ts";
import type { StorageError } from "../errors.ts";
import { type PlainFailure, SharedFailure } from "../util/shared_failure.ts";

/** The Worker's name, by which its module knows that it is one. */
export const FILTER_WORKER = "lamina-filter";

/** One stream to turn. The Worker closes `writeFd` if it decompresses, `readFd` if it compresses: the pipe's end. */
export interface FilterSettings {
  action: "compress" | "decompress";
  compression: "gzip" | "zstd";
  /** Bytes that were read from `readFd` before. */
  head: Uint8Array;
  readFd: number;
  writeFd: number;
  /** Whether the digest of the compressed side is wanted. */
  digest: boolean;
}

/** The Worker's only message. */
export interface FilterRequest extends FilterSettings {
  kind: "filter";
  state: SharedArrayBuffer;
}

const DONE = 1;
const FAILED = 2;
const CELLS = 12;
const DIGEST_LENGTH = 32;
const FAILURE_AT = CELLS + DIGEST_LENGTH;

/** A cell for the outcome, one that tells that the pipe is closed, one that stops the Worker, the digest, the failure. */
export class FilterState {
  readonly memory: SharedArrayBuffer;
  readonly #cells: Int32Array;
  readonly #failure: SharedFailure;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(FAILURE_AT + SharedFailure.SIZE)) {
    this.memory = memory;
    this.#cells = new Int32Array(memory, 0, CELLS / 4);
    this.#failure = new SharedFailure(memory, FAILURE_AT);
  }

  /** Of the compressed side; good when {@linkcode end} was called. */
  get digest(): Digest {
    return `sha256:${Buffer.from(this.memory as unknown as ArrayBuffer, CELLS, DIGEST_LENGTH).toString("hex")}`;
  }

  /** Keeps the digest. */
  setDigest(digest: Uint8Array): void {
    new Uint8Array(this.memory).set(digest, CELLS);
  }

  /** The outcome, told before the pipe is closed: who then finds it ended already knows why. */
  end(failure?: PlainFailure): void {
    if (failure !== undefined) this.#failure.set(failure);
    Atomics.store(this.#cells, 0, failure === undefined ? DONE : FAILED);
  }

  /** The Worker's last act: it holds nothing any more, and may be terminated. */
  close(): void {
    Atomics.store(this.#cells, 1, 1);
    Atomics.notify(this.#cells, 1);
  }

  /** Has the Worker end, whatever it waits for. */
  stop(): void {
    Atomics.store(this.#cells, 2, 1);
  }

  /** Whether the Worker is to end. */
  get isStopped(): boolean {
    return Atomics.load(this.#cells, 2) !== 0;
  }

  /** Blocks until the Worker ended, or `timeoutMs` are over; whether it ended. */
  wait(timeoutMs: number = Infinity): boolean {
    return Atomics.wait(this.#cells, 1, 0, timeoutMs) !== "timed-out";
  }

  /** What the Worker failed with, if it did. */
  failure(): StorageError | undefined {
    return Atomics.load(this.#cells, 0) === FAILED ? this.#failure.get() : undefined;
  }
}

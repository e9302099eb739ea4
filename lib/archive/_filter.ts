// SPDX-License-Identifier: Apache-2.0

/**
 * What a filter Worker is told, and how it tells its end to a thread that waits without an event loop.
 *
 * @module
 */

import { StorageError, type StorageErrorCode } from "../errors.ts";

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
}

/** The Worker's only message. */
export interface FilterRequest extends FilterSettings {
  state: SharedArrayBuffer;
}

const DONE = 1;
const FAILED = 2;
const TEXT = 12;
const TEXT_LENGTH = 1000;

/**
 * A cell for the outcome, one for the length of a text, one that tells that the pipe is closed, and the text: the code and
 * the message of the failure.
 */
export class FilterState {
  readonly memory: SharedArrayBuffer;
  readonly #cells: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(TEXT + TEXT_LENGTH)) {
    this.memory = memory;
    this.#cells = new Int32Array(memory, 0, 3);
  }

  /** The outcome, told before the pipe is closed: who then finds it ended already knows why. */
  end(failure?: { code: StorageErrorCode; message: string }): void {
    if (failure !== undefined) {
      const text = new TextEncoder().encode(`${failure.code} ${failure.message}`).subarray(0, TEXT_LENGTH);
      new Uint8Array(this.memory, TEXT).set(text);
      this.#cells[1] = text.length;
    }
    Atomics.store(this.#cells, 0, failure === undefined ? DONE : FAILED);
  }

  /** The Worker's last act: it holds nothing any more, and may be terminated. */
  close(): void {
    Atomics.store(this.#cells, 2, 1);
    Atomics.notify(this.#cells, 2);
  }

  /** Blocks until the Worker ended, or `timeoutMs` are over. */
  wait(timeoutMs: number = Infinity): void {
    Atomics.wait(this.#cells, 2, 0, timeoutMs);
  }

  /** What the Worker failed with, if it did. */
  failure(): StorageError | undefined {
    if (Atomics.load(this.#cells, 0) !== FAILED) return undefined;
    const text = new TextDecoder().decode(new Uint8Array(this.memory, TEXT, this.#cells[1]!).slice());
    const space = text.indexOf(" ");
    return new StorageError(text.slice(0, space) as StorageErrorCode, text.slice(space + 1));
  }
}

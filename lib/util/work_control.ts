// SPDX-License-Identifier: Apache-2.0

/**
 * How long synchronous work is watched and stopped: it calls `tick` between entries and between pieces of a large file.
 *
 * @module
 */

import { StorageError } from "../errors.ts";

/** Told by the work how far it is; throws when the work is to end. */
export interface WorkControl {
  /** @throws {StorageError} `aborted`. */
  tick(entries: number, bytes: number): void;
}

/** Watches nothing. */
export const UNWATCHED: WorkControl = { tick(): void {} };

const REPORT_INTERVAL_MS = 100;
const ENTRIES_A_LOOK = 16;
const BYTES_A_LOOK = 16 * 1024 * 1024;

function aborted(): StorageError {
  return new StorageError("aborted", "The operation was aborted");
}

/** For work on the caller's own thread, where nothing else can run meanwhile: reports as it goes. */
export class DirectControl implements WorkControl {
  #nextReport = 0;
  #nextBytes = 0;

  constructor(
    readonly signal: AbortSignal | undefined,
    readonly onProgress: ((progress: { entries: number; bytes: number }) => void) | undefined,
  ) {}

  tick(entries: number, bytes: number): void {
    if (this.signal?.aborted) throw aborted();
    // Looking at the clock for every small file would cost more than it tells.
    const isDue = entries % ENTRIES_A_LOOK === 0 || bytes >= this.#nextBytes;
    if (this.onProgress === undefined || !isDue) return;
    this.#nextBytes = bytes + BYTES_A_LOOK;
    const now = performance.now();
    if (now < this.#nextReport) return;
    this.#nextReport = now + REPORT_INTERVAL_MS;
    this.onProgress({ entries, bytes });
  }
}

const ABORT = 0;
const ENTRIES = 1;
const BYTES = 2;

/**
 * For work in another thread: three cells of shared memory. The worker writes how far it is and looks whether it should
 * end; the owner does the reverse.
 */
export class SharedControl implements WorkControl {
  /** What is sent to the other thread. */
  readonly memory: SharedArrayBuffer;
  readonly #flag: Int32Array;
  readonly #figures: Float64Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(24)) {
    this.memory = memory;
    this.#flag = new Int32Array(memory);
    this.#figures = new Float64Array(memory);
  }

  tick(entries: number, bytes: number): void {
    this.#figures[ENTRIES] = entries;
    this.#figures[BYTES] = bytes;
    if (this.#flag[ABORT] !== 0) throw aborted();
  }

  /** Makes the worker's next `tick` throw. */
  abort(): void {
    Atomics.store(this.#flag, ABORT, 1);
  }

  /** What the worker told last. */
  get progress(): { entries: number; bytes: number } {
    return { entries: this.#figures[ENTRIES]!, bytes: this.#figures[BYTES]! };
  }
}

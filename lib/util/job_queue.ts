// SPDX-License-Identifier: Apache-2.0

/**
 * Jobs from one thread to one other, in order, through shared memory: records of a few numbers in a ring. Neither side
 * needs its event loop, so both can be deep in synchronous work.
 *
 * @module
 */

import { asStorageError, StorageError } from "../errors.ts";
import { SharedFailure } from "./shared_failure.ts";

/** Numbers of one job. */
export const JOB_WORDS = 12;
/** Jobs that wait at most; each may hold an open file, of which a process has 1024 by default. */
export const MOST_JOBS = 256;
/** Waking a sleeping thread costs as much as a small file: it is done for so many at once. */
const WAKE_AFTER = 16;
/** How often a thread that waits looks up. */
const LOOK_MS = 50;
/** A Worker starts in 15 ms, and on a machine under heavy load in a second. */
const LONGEST_START_MS = 60_000;

/** Cells of the shared memory, before the records. */
const POSTED = 0;
const DONE = 1;
/** The worker is there. */
const ALIVE = 2;
const WORKER_SLEEPS = 3;
const OWNER_WAITS = 4;
/** No more jobs will come. */
const CLOSED = 5;
/** One more than the number of the job that failed first. */
const FAILED = 6;
const CELLS = 16;
const RECORDS_AT = CELLS * 4;
const FAILURE_AT = RECORDS_AT + MOST_JOBS * JOB_WORDS * 4;

function cellsOf(memory: SharedArrayBuffer): Int32Array<SharedArrayBuffer> {
  return new Int32Array(memory, 0, CELLS);
}

function recordsOf(memory: SharedArrayBuffer): Int32Array<SharedArrayBuffer> {
  return new Int32Array(memory, RECORDS_AT, MOST_JOBS * JOB_WORDS);
}

/** The side that gives the jobs. */
export class JobQueue {
  readonly memory = new SharedArrayBuffer(FAILURE_AT + SharedFailure.SIZE);
  /** Where the numbers of jobs go: see {@linkcode place}. */
  readonly words: Int32Array<SharedArrayBuffer> = recordsOf(this.memory);
  readonly #cells = cellsOf(this.memory);
  readonly #failure = new SharedFailure(this.memory, FAILURE_AT);
  /** Jobs posted so far; the last one's number. */
  posted = 0;
  #woken = 0;

  /** @param onWait Called now and then while this thread waits; what it throws ends the wait. */
  constructor(readonly onWait: () => void) {}

  /** Whether there is somebody to do the jobs. */
  get isAlive(): boolean {
    return Atomics.load(this.#cells, ALIVE) !== 0;
  }

  /**
   * Where in {@linkcode words} the next job's numbers go; waits for room. It does not fail, so that a file can always be
   * handed to whoever closes it.
   */
  place(): number {
    if (this.posted - this.#done() >= MOST_JOBS) {
      const enough = this.posted - MOST_JOBS / 2;
      for (let done = this.#done(); done < enough; done = this.#done()) this.#sleep(done);
    }
    return (this.posted % MOST_JOBS) * JOB_WORDS;
  }

  /** Posts the job whose numbers are in place. */
  post(): void {
    Atomics.store(this.#cells, POSTED, ++this.posted);
    if (this.posted - this.#woken >= WAKE_AFTER) this.#wake();
  }

  /**
   * Waits until the job of this number is done, or failed, and all before it.
   *
   * @throws {StorageError} `system_error`: there is nobody to do it.
   */
  waitFor(job: number): void {
    let since = 0;
    for (let done = this.#done(); done < job; done = this.#done()) {
      this.onWait();
      this.#sleep(done);
      if (this.isAlive) continue;
      since ||= performance.now();
      if (performance.now() - since > LONGEST_START_MS) {
        throw new StorageError("system_error", `A second thread did not start within ${LONGEST_START_MS / 1000} s`);
      }
    }
  }

  /** Whether the job of this number is done. */
  isDone(job: number): boolean {
    return Atomics.load(this.#cells, DONE) >= job;
  }

  /** The number of the first job that failed, if one did. */
  get failedJob(): number | undefined {
    const failed = Atomics.load(this.#cells, FAILED);
    return failed === 0 ? undefined : failed;
  }

  /** What {@linkcode failedJob} failed with. */
  failure(): StorageError {
    return this.#failure.get();
  }

  /** Lets the worker end, after what was posted; waits for that, whatever comes. */
  close(): void {
    if (this.isAlive) { for (let done = this.#done(); done < this.posted; done = this.#done()) this.#sleep(done); }
    Atomics.store(this.#cells, CLOSED, 1);
    Atomics.notify(this.#cells, POSTED);
  }

  #done(): number {
    return Atomics.load(this.#cells, DONE);
  }

  #sleep(done: number): void {
    Atomics.store(this.#cells, OWNER_WAITS, 1);
    this.#wake();
    Atomics.wait(this.#cells, DONE, done, LOOK_MS);
    Atomics.store(this.#cells, OWNER_WAITS, 0);
  }

  #wake(): void {
    this.#woken = this.posted;
    if (Atomics.load(this.#cells, WORKER_SLEEPS) !== 0) Atomics.notify(this.#cells, POSTED);
  }
}

/**
 * The other side: does jobs until the queue is closed. A job that fails does not stop the later ones, since they too may
 * have files to close; the first failure is told.
 *
 * @param perform Does the job whose numbers are at `at` of `words`.
 */
export function performJobs(
  memory: SharedArrayBuffer,
  perform: (words: Int32Array<SharedArrayBuffer>, at: number) => void,
): void {
  const cells = cellsOf(memory);
  const words = recordsOf(memory);
  const failure = new SharedFailure(memory, FAILURE_AT);
  Atomics.store(cells, ALIVE, 1);
  let done = 0;
  for (;;) {
    const posted = Atomics.load(cells, POSTED);
    if (posted === done) {
      if (Atomics.load(cells, CLOSED) !== 0) return;
      Atomics.store(cells, WORKER_SLEEPS, 1);
      Atomics.wait(cells, POSTED, done, LOOK_MS);
      Atomics.store(cells, WORKER_SLEEPS, 0);
      continue;
    }
    while (done < posted) {
      try {
        perform(words, (done % MOST_JOBS) * JOB_WORDS);
      } catch (error) {
        if (Atomics.load(cells, FAILED) === 0) {
          const { code, hint } = asStorageError(error, "");
          failure.set({ code, message: error instanceof Error ? error.message : String(error), hint });
          Atomics.store(cells, FAILED, done + 1);
        }
      }
      Atomics.store(cells, DONE, ++done);
      if (Atomics.load(cells, OWNER_WAITS) !== 0) Atomics.notify(cells, DONE);
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * A second thread for the contents of an archive's files.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { type ByteString, textOfBytes } from "../util/byte_string.ts";
import type { ChunkRing, ChunkUser } from "../util/chunk_ring.ts";
import { JobQueue, MOST_JOBS } from "../util/job_queue.ts";
import type { RunningHelper, StartHelper } from "./helper_thread.ts";

/**
 * Bytes of an archive from which on a second thread for its files pays. It takes 15 ms to start, in which some 5 MB get
 * through, and then saves a quarter of the time.
 */
const WORTH_A_THREAD = 32 * 1024 * 1024;

/**
 * From which byte of an archive on a second thread pays: none where no core is free for it.
 *
 * @param others Threads and programs that work on the archive beside the first thread.
 */
export function secondThreadStart(others: number): number {
  return navigator.hardwareConcurrency >= 2 + others ? WORTH_A_THREAD : Infinity;
}

/** The thread, and which files it was handed. */
export class ContentThread implements ChunkUser, Disposable {
  readonly queue: JobQueue;
  readonly #thread: RunningHelper;
  readonly #paths = new Array<ByteString>(MOST_JOBS).fill("");

  /**
   * @param action What is done with files, as the beginning of a sentence: `Cannot unpack`.
   * @param onWait Called now and then while this thread waits for the other; what it throws ends the wait.
   */
  constructor(ring: ChunkRing, start: StartHelper, readonly action: string, onWait: () => void) {
    this.queue = new JobQueue(onWait);
    this.#thread = start({ kind: "content", queue: this.queue.memory, memory: ring.memory });
  }

  /** Whether it has started. Until then, and for what it cannot do, the first thread does everything itself. */
  get isAlive(): boolean {
    return this.queue.isAlive;
  }

  get posted(): number {
    return this.queue.posted;
  }

  /** Notes whose job was posted last. */
  note(path: ByteString): void {
    this.#paths[this.queue.posted % MOST_JOBS] = path;
  }

  /**
   * To be called at least once between two files, while it is still known which one failed.
   *
   * @throws {StorageError} What a job failed with.
   */
  check(): void {
    const job = this.queue.failedJob;
    if (job === undefined) return;
    const { code, message, hint } = this.queue.failure();
    const path = textOfBytes(this.#paths[job % MOST_JOBS]!);
    throw new StorageError(code, `${this.action} "${path}": ${message}`, hint === undefined ? {} : { hint });
  }

  isDone(job: number): boolean {
    return this.queue.isDone(job) && this.queue.failedJob === undefined;
  }

  waitFor(job: number): void {
    this.queue.waitFor(job);
    this.check();
  }

  /** Ends it when it has done, and closed, everything that it was handed. */
  [Symbol.dispose](): void {
    this.queue.close();
    this.#thread.terminate();
  }
}

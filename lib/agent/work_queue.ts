// SPDX-License-Identifier: Apache-2.0

/**
 * Long jobs that wait for their turn, so that a host's processors are not shared by more of them than it has.
 *
 * A job that reads from another one must not take its turn before that one has: the two could otherwise wait for each
 * other. So diffs have a queue of their own, and an apply takes its turn when the first bytes of its archive are there.
 *
 * @module
 */

import { StorageError } from "../errors.ts";

/** The queues of an agent, for all of its faces. */
export interface WorkQueues {
  readonly diffs: WorkQueue;
  readonly others: WorkQueue;
}

/** At most so many jobs at once; the others wait, the first that came being the first that gets its turn. */
export class WorkQueue {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(readonly mostAtOnce: number) {
    this.#free = mostAtOnce;
  }

  /** How many have their turn. */
  get running(): number {
    return this.mostAtOnce - this.#free;
  }

  /** How many wait. */
  get length(): number {
    return this.#waiting.length;
  }

  /**
   * Waits for a turn, which ends when it is disposed.
   *
   * @throws {StorageError} `aborted`.
   */
  async enter(signal: AbortSignal): Promise<Disposable> {
    if (this.#free > 0) this.#free--;
    else await this.#wait(signal);
    let isOver = false;
    return {
      [Symbol.dispose]: (): void => {
        if (isOver) return;
        isOver = true;
        this.#leave();
      },
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(begin), 1);
        reject(new StorageError("aborted", "The operation was aborted before its turn came"));
      };
      const begin = (): void => {
        signal.removeEventListener("abort", giveUp);
        resolve();
      };
      if (signal.aborted) return reject(new StorageError("aborted", "The operation was aborted"));
      signal.addEventListener("abort", giveUp, { once: true });
      this.#waiting.push(begin);
    });
  }

  /** Hands the turn on. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}

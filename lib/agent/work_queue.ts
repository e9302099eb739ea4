// SPDX-License-Identifier: Apache-2.0

/**
 * Long jobs that wait for their turn, so that a host's processors are not shared by more of them than it has.
 *
 * @module
 */

import { StorageError } from "../errors.ts";

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

/**
 * The queues of an agent, which all its faces share.
 *
 * A job that reads what another one writes must not take its turn before that one has: the two could otherwise wait for
 * each other. So diffs have a queue of their own, and an apply takes its turn when the first bytes of its archive are there.
 * Removals have one as well: most are short, and must not wait for applies.
 */
export class WorkQueues {
  /** What writes archives. */
  readonly diffs: WorkQueue;
  /** What reads archives or layers, and answers at its end. */
  readonly others: WorkQueue;
  /** What takes layers away. */
  readonly removals: WorkQueue;

  /** @param mostAtOnce In each of them. */
  constructor(mostAtOnce: number) {
    this.diffs = new WorkQueue(mostAtOnce);
    this.others = new WorkQueue(mostAtOnce);
    this.removals = new WorkQueue(mostAtOnce);
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What happens, told to everybody who listens: one JSON object a line. It is told from the moment on at which somebody
 * begins to listen; what was before is not kept.
 *
 * @module
 */

import type { Operation, OperationName } from "./observed_driver.ts";

/** Questions change nothing, and dockerd asks many: they are counted, not told. */
const TOLD: ReadonlySet<OperationName> = new Set([
  "apply",
  "cleanup",
  "create",
  "diff",
  "mount",
  "remap",
  "remove",
  "unmount",
]);

/** How much waits for a listener who does not read: some ten thousand events. */
const MOST_WAITING_BYTES = 2 * 1024 * 1024;

const encoder = new TextEncoder();

/** Tells events to streams. */
export class EventFeed {
  readonly #listeners = new Set<ReadableStreamDefaultController<Uint8Array>>();

  /** @param mostWaitingBytes A listener for whom more waits than that is cut off. */
  constructor(readonly mostWaitingBytes: number = MOST_WAITING_BYTES) {}

  /** How many listen. */
  get listeners(): number {
    return this.#listeners.size;
  }

  /** Events from now on, a line each. The stream fails when it is not read fast enough, so that nobody misses one unknowing. */
  listen(): ReadableStream<Uint8Array> {
    let own: ReadableStreamDefaultController<Uint8Array>;
    return new ReadableStream<Uint8Array>({
      start: (controller): void => {
        own = controller;
        this.#listeners.add(controller);
        // An answer's head goes out with the first bytes of its body; JSON allows the blank line.
        controller.enqueue(encoder.encode("\n"));
      },
      cancel: (): void => void this.#listeners.delete(own),
    }, new ByteLengthQueuingStrategy({ highWaterMark: this.mostWaitingBytes }));
  }

  /** Tells what was done. */
  tell({ name, ...rest }: Operation): void {
    if (this.#listeners.size === 0 || !TOLD.has(name)) return;
    const event = { time: new Date().toISOString(), event: name, ...rest };
    const line = encoder.encode(`${JSON.stringify(event)}\n`);
    for (const listener of this.#listeners) {
      if ((listener.desiredSize ?? 0) >= line.length) {
        listener.enqueue(line);
        continue;
      }
      this.#listeners.delete(listener);
      listener.error(new Error("events are not read as fast as they come"));
    }
  }

  /** Ends all streams. */
  close(): void {
    for (const listener of this.#listeners) listener.close();
    this.#listeners.clear();
  }
}

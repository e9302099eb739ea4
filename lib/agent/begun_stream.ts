// SPDX-License-Identifier: Apache-2.0

/**
 * Streams of which the beginning is waited for: until there is a first byte, nothing has been promised to anybody.
 *
 * @module
 */

import { StorageError } from "../errors.ts";

/** A stream that has begun. */
export class BegunStream<Chunk extends Uint8Array> {
  readonly #reader: ReadableStreamDefaultReader<Chunk>;
  #first: Chunk | undefined;

  private constructor(
    reader: ReadableStreamDefaultReader<Chunk>,
    first: Chunk | undefined,
  ) {
    this.#reader = reader;
    this.#first = first;
  }

  /**
   * Waits for the first bytes of `stream`, or its end.
   *
   * @throws {StorageError} `aborted`; where the stream fails, what it fails with.
   */
  static async of<Chunk extends Uint8Array>(
    stream: ReadableStream<Chunk>,
    signal: AbortSignal,
  ): Promise<BegunStream<Chunk>> {
    const reader = stream.getReader();
    using _stop = cancelOn(signal, reader);
    for (;;) {
      const { value, done } = await reader.read();
      if (signal.aborted) throw new StorageError("aborted", "The operation was aborted");
      if (done || value.length > 0) return new BegunStream(reader, value);
    }
  }

  /** Whether it ended without a byte. */
  get isEmpty(): boolean {
    return this.#first === undefined;
  }

  /**
   * All of it, the first bytes included.
   *
   * @param onEnd Called when it has ended, well or not, or was cancelled.
   */
  whole(onEnd: () => void): ReadableStream<Chunk> {
    return this.#stream(onEnd, async (reason) => {
      try {
        await this.#reader.cancel(reason);
      } finally {
        onEnd();
      }
    });
  }

  /** As {@linkcode whole}; what somebody who cancels it has not read stays there, for {@linkcode discardRest}. */
  wholeKeepingRest(): ReadableStream<Chunk> {
    return this.#stream(() => {}, () => Promise.resolve());
  }

  #stream(onEnd: () => void, cancel: (reason: unknown) => Promise<void>): ReadableStream<Chunk> {
    return new ReadableStream<Chunk>({
      pull: async (controller): Promise<void> => {
        try {
          const chunk = await this.#next();
          if (chunk !== undefined) return controller.enqueue(chunk);
          onEnd();
          controller.close();
        } catch (error) {
          onEnd();
          controller.error(error);
        }
      },
      cancel,
    });
  }

  async #next(): Promise<Chunk | undefined> {
    const first = this.#first;
    this.#first = undefined;
    return first ?? (await this.#reader.read()).value;
  }

  /** Reads what is left to the end, and forgets it. */
  async discardRest(signal: AbortSignal): Promise<void> {
    this.#first = undefined;
    await discard(this.#reader, signal);
  }
}

/** Reads to the end, and forgets what it read. The signal ends that, and so does a failure. */
export async function discard(reader: ReadableStreamDefaultReader<Uint8Array>, signal: AbortSignal): Promise<void> {
  using _stop = cancelOn(signal, reader);
  try {
    while (!(await reader.read()).done);
  } catch {
    // The sender went away: there is nothing left to read.
  }
}

/** Has a read that waits come to its end when `signal` is aborted, until this is disposed. */
function cancelOn(signal: AbortSignal, reader: ReadableStreamDefaultReader<Uint8Array>): Disposable {
  const cancel = (): void => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  if (signal.aborted) cancel();
  return { [Symbol.dispose]: (): void => signal.removeEventListener("abort", cancel) };
}

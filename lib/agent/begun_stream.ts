// SPDX-License-Identifier: Apache-2.0

/**
 * Streams of which the beginning is waited for: until there is a first byte, nothing has been promised to anybody.
 *
 * @module
 */

/** A stream that has begun. */
export class BegunStream {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
  #first: Uint8Array<ArrayBuffer> | undefined;

  private constructor(
    reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
    first: Uint8Array<ArrayBuffer> | undefined,
  ) {
    this.#reader = reader;
    this.#first = first;
  }

  /** Waits for the first bytes of `stream`, or its end; rejects where it fails before. */
  static async of(stream: ReadableStream<Uint8Array>): Promise<BegunStream> {
    // Deno 2.4 does not say of a body that its memory is not shared.
    const reader = (stream as ReadableStream<Uint8Array<ArrayBuffer>>).getReader();
    for (;;) {
      const { value, done } = await reader.read();
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
  whole(onEnd: () => void): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#stream(onEnd, async (reason) => {
      try {
        await this.#reader.cancel(reason);
      } finally {
        onEnd();
      }
    });
  }

  /** As {@linkcode whole}; what somebody who cancels it has not read stays there, for {@linkcode discardRest}. */
  wholeKeepingRest(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#stream(() => {}, () => Promise.resolve());
  }

  #stream(onEnd: () => void, cancel: (reason: unknown) => Promise<void>): ReadableStream<Uint8Array<ArrayBuffer>> {
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
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
    }, { highWaterMark: 0 });
  }

  async #next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const first = this.#first;
    this.#first = undefined;
    return first ?? (await this.#reader.read()).value;
  }

  /** Reads what is left to the end, and forgets it. The signal ends that, and so does a failure. */
  async discardRest(signal: AbortSignal): Promise<void> {
    this.#first = undefined;
    const stop = (): void => void this.#reader.cancel().catch(() => {});
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    try {
      while (!(await this.#reader.read()).done);
    } catch {
      // The sender went away: there is nothing left to read.
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Several signals as one. `AbortSignal.any` is what this would be, but Deno 2.4 forgets the listeners of its result as soon
 * as garbage is collected, and work that was to be cancelled goes on.
 *
 * @module
 */

/** A signal that is aborted when one of others is; disposing it leaves them. */
export class JoinedSignal implements Disposable {
  readonly #controller = new AbortController();
  readonly #sources: readonly AbortSignal[];
  readonly #abort = (event: Event): void => this.#controller.abort((event.target as AbortSignal).reason);

  /** @param sources Those that are undefined say nothing. */
  constructor(...sources: readonly (AbortSignal | undefined)[]) {
    this.#sources = sources.filter((source) => source !== undefined);
    for (const source of this.#sources) {
      if (source.aborted) this.#controller.abort(source.reason);
      source.addEventListener("abort", this.#abort, { once: true });
    }
  }

  /** The one that stands for all. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    for (const source of this.#sources) source.removeEventListener("abort", this.#abort);
  }
}

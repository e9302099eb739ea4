// SPDX-License-Identifier: Apache-2.0

/**
 * Ctrl-C as an AbortSignal.
 *
 * @module
 */

const SIGNALS: readonly Deno.Signal[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Listens until it is disposed: a second Ctrl-C must not cut the clean-up short. */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #listener = (): void => this.#controller.abort();

  constructor() {
    for (const name of SIGNALS) Deno.addSignalListener(name, this.#listener);
  }

  /** Aborts at the first of SIGINT, SIGTERM, SIGHUP. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    for (const name of SIGNALS) Deno.removeSignalListener(name, this.#listener);
  }
}

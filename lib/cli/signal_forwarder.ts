// SPDX-License-Identifier: Apache-2.0

/**
 * Signals that are meant for the program that a command runs.
 *
 * @module
 */

/** What comes from somebody else than the terminal goes to the program. */
const SIGNALS = ["SIGHUP", "SIGTERM", "SIGUSR1", "SIGUSR2"] as const satisfies readonly Deno.Signal[];
/** What a terminal sends to the program as well. */
const TERMINAL_SIGNALS = ["SIGINT", "SIGQUIT"] as const satisfies readonly Deno.Signal[];

/** Who can be sent a signal. */
export interface SignalTarget {
  kill(signal: Deno.Signal): void;
}

/** Sends what is sent to this process to another one, as soon as there is one. Disposing it ends that. */
export class SignalForwarder implements Disposable {
  #target: SignalTarget | undefined;
  /** What came before there was anybody to send it to. */
  readonly #early: Deno.Signal[] = [];
  readonly #isFromTerminal = Deno.stdin.isTerminal();
  readonly #listeners = new Map<Deno.Signal, () => void>();

  constructor() {
    for (const signal of SIGNALS) this.#listen(signal, () => this.#send(signal));
    for (const signal of TERMINAL_SIGNALS) this.#listen(signal, () => this.#isFromTerminal || this.#send(signal));
  }

  /** Sends signals to `target` from now on, and first those that came before. */
  forwardTo(target: SignalTarget): void {
    this.#target = target;
    for (const signal of this.#early.splice(0)) this.#send(signal);
  }

  #listen(signal: Deno.Signal, listener: () => void): void {
    Deno.addSignalListener(signal, listener);
    this.#listeners.set(signal, listener);
  }

  #send(signal: Deno.Signal): void {
    if (this.#target === undefined) {
      this.#early.push(signal);
      return;
    }
    try {
      this.#target.kill(signal);
    } catch (error) {
      // It has ended just now.
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const [signal, listener] of this.#listeners) Deno.removeSignalListener(signal, listener);
  }
}

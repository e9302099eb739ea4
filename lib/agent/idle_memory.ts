// SPDX-License-Identifier: Apache-2.0

/**
 * Memory that is given back when nobody has asked anything for a while. V8 keeps what it took under load, until much is asked
 * of it again; an agent may wait for that for days.
 *
 * It takes V8's own `gc()`, which is there with `--v8-flags=--expose-gc`, as the executable is compiled. Without, nothing is
 * given back.
 *
 * @module
 */

/** See V8's src/extensions/gc-extension.h: `last-resort` clears all that can be made again. */
type CollectGarbage = (options: { type: "major"; execution: "sync"; flavor: "last-resort" }) => void;

/** Longer than dockerd pauses while it works; shorter than anybody's patience with a process that is idle. */
const IDLE_MS = 3000;

/** Watches one thread. */
export class IdleMemory implements Disposable {
  readonly #collect: CollectGarbage | undefined;
  readonly #idleMs: number;
  #lastMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param collect Left out, V8's own, if it is there. */
  constructor(collect = (globalThis as { gc?: CollectGarbage }).gc, idleMs: number = IDLE_MS) {
    this.#collect = collect;
    this.#idleMs = idleMs;
  }

  /** Notes that there is something to do. */
  busy(): void {
    if (this.#collect === undefined) return;
    this.#lastMs = performance.now();
    if (this.#timer === undefined) this.#lookIn(this.#idleMs);
  }

  #lookIn(milliseconds: number): void {
    this.#timer = setTimeout(() => this.#look(), milliseconds);
    Deno.unrefTimer(this.#timer);
  }

  #look(): void {
    this.#timer = undefined;
    const leftMs = this.#lastMs + this.#idleMs - performance.now();
    if (leftMs > 0) this.#lookIn(leftMs);
    else this.#collect!({ type: "major", execution: "sync", flavor: "last-resort" });
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

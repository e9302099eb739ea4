// SPDX-License-Identifier: Apache-2.0

/**
 * What the demo prints: one numbered line a step, with its time and its figures.
 *
 * @module
 */

import type { Progress, WorkOptions } from "../mod.ts";
import { formatSize } from "../lib/units.ts";

const TITLE_WIDTH = 58;
const CLEAR_LINE = "\r\x1b[K";

/** Prints steps as they are made. */
export class Report {
  readonly #signal: AbortSignal;
  readonly #isTerminal = Deno.stdout.isTerminal();
  #steps = 0;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Prints a line. */
  line(text = ""): void {
    write(`${text}\n`);
  }

  /** Does one step of the story, and prints how long it took; `figures` says what else is worth knowing of its result. */
  async step<T>(
    title: string,
    work: (options: WorkOptions) => T | Promise<T>,
    figures: (result: T, seconds: number) => string = (): string => "",
  ): Promise<T> {
    this.#signal.throwIfAborted();
    const head = `${String(++this.#steps).padStart(2)}. ${title}`.padEnd(TITLE_WIDTH);
    this.#showPending(head);
    const start = performance.now();
    const result = await work({ signal: this.#signal, onProgress: (progress) => this.#showPending(head, progress) });
    const seconds = (performance.now() - start) / 1000;
    this.#clearPending();
    this.line(`${head} ${formatSeconds(seconds).padStart(9)}   ${figures(result, seconds)}`.trimEnd());
    return result;
  }

  #showPending(head: string, progress?: Progress): void {
    if (!this.#isTerminal) return;
    write(`${CLEAR_LINE}${head}${progress === undefined ? "" : `           ${formatAmount(progress)} …`}`);
  }

  #clearPending(): void {
    if (this.#isTerminal) write(CLEAR_LINE);
  }
}

function write(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}

/** `12.3 ms`, `1.24 s`. */
export function formatSeconds(seconds: number): string {
  return seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : `${seconds.toFixed(2)} s`;
}

/** `12,345`. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** `12,345 entries, 107 MB`. */
export function formatAmount({ entries, bytes }: Progress): string {
  return `${formatCount(entries)} entries, ${formatSize(bytes)}`;
}

/** `12,345 entries, 107 MB; 45,678 entries/s, 412 MB/s`. */
export function formatThroughput(amount: Progress, seconds: number): string {
  const rates = `${formatCount(amount.entries / seconds)} entries/s, ${
    formatSize(Math.round(amount.bytes / seconds))
  }/s`;
  return `${formatAmount(amount)}; ${rates}`;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * A process at work on a store, which can be killed at any moment, and the ledger of what it did.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import type { DriverName, SyncPolicy } from "../../mod.ts";
import type { LedgerLine } from "./layer_model.ts";

const OPERATOR = fileURLToPath(new URL("./_operator.ts", import.meta.url));

/** What the process is told. */
export interface OperatorSettings {
  root: string;
  runRoot: string;
  driver: DriverName;
  sync: SyncPolicy;
  seed: number;
  /** What the store holds, as `stateToJson` gives it. */
  start: string;
}

/** A running process. */
export class Operator implements AsyncDisposable {
  /** What it told so far. */
  readonly lines: LedgerLine[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  readonly #errors: Promise<string>;
  #begun: () => void = () => {};
  #isKilled = false;

  /** Settled at its first line, or at its end. */
  readonly begun: Promise<void>;

  constructor(settings: OperatorSettings) {
    this.begun = new Promise((resolve) => this.#begun = resolve);
    const args = ["run", "--quiet", "--no-lock", "--allow-all", OPERATOR, JSON.stringify(settings)];
    this.#child = new Deno.Command(Deno.execPath(), { args, stdout: "piped", stderr: "piped" }).spawn();
    this.#errors = new Response(this.#child.stderr).text();
    this.#reading = this.#read();
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const chunk of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.lines.push(JSON.parse(line) as LedgerLine);
      if (this.lines.length > 0) this.#begun();
    }
    this.#begun();
  }

  /**
   * Kills it, and waits until all it told is here.
   *
   * @throws It had ended before by itself: no operation of its may fail.
   */
  async kill(): Promise<void> {
    this.#stop();
    await this.#reading;
    const { signal } = await this.#child.status;
    if (signal === "SIGKILL") return;
    throw new Error(`an operation failed that cannot: ${JSON.stringify(this.lines.at(-1))}\n${await this.#errors}`);
  }

  #stop(): void {
    if (this.#isKilled) return;
    this.#isKilled = true;
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It ended by itself.
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop();
    await this.#reading;
    await this.#child.status;
    await this.#errors;
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What lamina says: answers on standard output, everything else on standard error.
 *
 * @module
 */

import type { Logger } from "../log.ts";
import type { Settings } from "./command.ts";
import { isBrokenPipe } from "./exit_code.ts";
import { UsageError } from "./usage_error.ts";
import { isStorageError } from "../errors.ts";

/** A standard stream, as far as it is used here. */
export interface TextSink {
  writeSync(bytes: Uint8Array): number;
  isTerminal(): boolean;
}

/** How much is said. */
export type Verbosity = Pick<Settings, "json" | "quiet" | "verbose">;

/** A line of which a part is painted. */
export interface PaintedLine {
  /** What is not. */
  guides: string;
  text: string;
  paint: (text: string) => string;
}

const encoder = new TextEncoder();

/** The two streams of a command, and how talkative it is. */
export class Output {
  readonly #stdout: TextSink;
  readonly #stderr: TextSink;
  readonly #verbosity: Verbosity;

  constructor(verbosity: Verbosity, stdout: TextSink = Deno.stdout, stderr: TextSink = Deno.stderr) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#verbosity = verbosity;
  }

  /** Whether answers are wanted in JSON. */
  get json(): boolean {
    return this.#verbosity.json;
  }

  /** Whether somebody watches who would like to see how far a long operation is. */
  get showsProgress(): boolean {
    return !this.#verbosity.quiet && this.#stderr.isTerminal();
  }

  /** Whether answers go to a terminal, which an archive must not. */
  get isTerminal(): boolean {
    return this.#stdout.isTerminal();
  }

  /** How many letters a line of a terminal takes; undefined where answers go elsewhere. */
  get columns(): number | undefined {
    // A terminal that was never told its size says 0.
    return this.isTerminal && Deno.consoleSize().columns || undefined;
  }

  /** An answer as it is. */
  print(text: string): void {
    write(this.#stdout, text);
  }

  /** An answer in lines. */
  printLines(lines: readonly string[]): void {
    if (lines.length > 0) this.print(lines.map((line) => `${printable(line)}\n`).join(""));
  }

  /** An answer in lines, painted where somebody looks at them: see https://no-color.org. */
  printPainted(lines: readonly PaintedLine[]): void {
    const hasColours = this.isTerminal && !Deno.noColor;
    this.print(
      lines.map(({ guides, text, paint }) => {
        const shown = printable(text);
        return `${guides}${hasColours ? paint(shown) : shown}\n`;
      }).join(""),
    );
  }

  /** An answer as one JSON document. */
  printJson(value: unknown): void {
    this.print(`${JSON.stringify(value)}\n`);
  }

  /** A line that is no answer. */
  note(line: string): void {
    if (!this.#verbosity.quiet) write(this.#stderr, `${printable(line)}\n`);
  }

  /** Replaces the line that shows how far a long operation is; an empty one clears it. */
  status(line: string): void {
    write(this.#stderr, `\r\x1b[K${line}`);
  }

  /** What went wrong. A broken pipe is not worth a word. */
  error(error: unknown): void {
    if (isBrokenPipe(error)) return;
    write(this.#stderr, describeError(error, this.#verbosity.verbose));
  }

  /** Text for standard error as it is. */
  printError(text: string): void {
    write(this.#stderr, text);
  }

  /** Where the library tells what is worth knowing. */
  get logger(): Logger {
    const tell = (message: string): void => write(this.#stderr, `lamina: ${printable(message)}\n`);
    const silent = (): void => {};
    return {
      debug: this.#verbosity.verbose ? tell : silent,
      info: this.#verbosity.verbose ? tell : silent,
      warn: this.#verbosity.quiet ? silent : (message): void => tell(`warning: ${message}`),
    };
  }
}

/** The lines on standard error for `error`. */
export function describeError(error: unknown, verbose: boolean): string {
  const message = error instanceof Error ? error.message : String(error);
  const expected = error instanceof UsageError || isStorageError(error);
  const lines = [`lamina: error: ${expected ? message : `unexpected: ${message}`}`];
  const hint = expected ? error.hint : "this is a fault of lamina; run again with --verbose and report what it says";
  if (hint !== undefined) lines.push(`lamina: hint: ${hint}`);
  if (verbose) lines.push(...trace(error));
  return lines.map((line) => `${printable(line)}\n`).join("");
}

/** Stacks from the error down to its first cause. */
function trace(error: unknown): string[] {
  const lines: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause !== error) lines.push("caused by:");
    lines.push(...(cause.stack ?? cause.message).split("\n"));
  }
  return lines;
}

// deno-lint-ignore no-control-regex -- control characters are what it is about
const CONTROL_REGEXP = /[\x00-\x1f\x7f-\x9f]/g;

/** `line` with control characters spelled out: a file's name must not steer a terminal, or pass for two lines. */
export function printable(line: string): string {
  return line.replace(CONTROL_REGEXP, (character) => {
    if (character === "\n") return "\\n";
    if (character === "\t") return "\\t";
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

function write(sink: TextSink, text: string): void {
  let rest = encoder.encode(text);
  while (rest.length > 0) rest = rest.subarray(sink.writeSync(rest));
}

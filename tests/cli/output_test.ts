// SPDX-License-Identifier: Apache-2.0

import { assertEquals, assertStringIncludes } from "@std/assert";
import { describeError, Output, printable, type TextSink, type Verbosity } from "../../lib/cli/output.ts";
import { progressLine, withProgress } from "../../lib/cli/progress.ts";
import { UsageError } from "../../lib/cli/usage_error.ts";
import { StorageError } from "../../lib/errors.ts";

/** Takes one byte at a time, as a full pipe may. */
class SlowSink implements TextSink {
  readonly #bytes: number[] = [];
  readonly #terminal: boolean;

  constructor(terminal = false) {
    this.#terminal = terminal;
  }

  get text(): string {
    return new TextDecoder().decode(new Uint8Array(this.#bytes));
  }

  writeSync(bytes: Uint8Array): number {
    this.#bytes.push(bytes[0]!);
    return 1;
  }

  isTerminal(): boolean {
    return this.#terminal;
  }
}

const PLAIN: Verbosity = { json: false, quiet: false, verbose: false };

Deno.test("Output keeps answers and notes apart, and writes all of them", () => {
  const [stdout, stderr] = [new SlowSink(), new SlowSink()];
  const output = new Output(PLAIN, stdout, stderr);
  output.printLines([]);
  output.printLines(["ä", "b"]);
  output.printJson({ a: 1 });
  output.note("note");
  assertEquals(stdout.text, 'ä\nb\n{"a":1}\n');
  assertEquals(stderr.text, "note\n");
});

Deno.test("Output.logger: warnings unless quiet, the rest if verbose", () => {
  const heard = (verbosity: Verbosity): string => {
    const stderr = new SlowSink();
    const { logger } = new Output(verbosity, new SlowSink(), stderr);
    logger.debug("d");
    logger.info("i");
    logger.warn("w");
    return stderr.text;
  };
  assertEquals(heard(PLAIN), "lamina: warning: w\n");
  assertEquals(heard({ ...PLAIN, quiet: true }), "");
  assertEquals(heard({ ...PLAIN, verbose: true }), "lamina: d\nlamina: i\nlamina: warning: w\n");
});

Deno.test("Output.error() has no word for a broken pipe", () => {
  const stderr = new SlowSink();
  new Output(PLAIN, new SlowSink(), stderr).error(new Deno.errors.BrokenPipe("gone"));
  assertEquals(stderr.text, "");
});

Deno.test("describeError() tells message and hint; the stack and the causes only if verbose", () => {
  const error = new StorageError("no_space", "Cannot write", { hint: "free some", cause: new Error("deep") });
  assertEquals(describeError(error, false), "lamina: error: Cannot write\nlamina: hint: free some\n");
  const verbose = describeError(error, true);
  assertStringIncludes(verbose, "output_test.ts");
  assertStringIncludes(verbose, "caused by:\nError: deep");
  assertEquals(describeError(new UsageError("odd"), false), "lamina: error: odd\n");
});

Deno.test("describeError() owns up to a fault of the program", () => {
  assertEquals(
    describeError(new TypeError("x is not a function"), false),
    "lamina: error: unexpected: x is not a function\n" +
      "lamina: hint: this is a fault of lamina; run again with --verbose and report what it says\n",
  );
});

Deno.test("printable() spells out control characters and leaves the rest", () => {
  assertEquals(printable("a\nb\tc\x1b[31m\x7f\x9b"), "a\\nb\\tc\\x1b[31m\\x7f\\x9b");
  assertEquals(printable("system-systemd\\x2dcryptsetup.slice ü"), "system-systemd\\x2dcryptsetup.slice ü");
});

Deno.test("progressLine() has entries, bytes and rate", () => {
  assertEquals(progressLine({ entries: 3000, bytes: 107e6 }, 0.5), "3000 entries, 107 MB, 214 MB/s");
  assertEquals(progressLine({ entries: 0, bytes: 0 }, 0), "0 entries, 0 B");
});

Deno.test("withProgress() writes to a terminal only, and clears its line", async () => {
  const heard = async (terminal: boolean, quiet: boolean): Promise<string> => {
    const stderr = new SlowSink(terminal);
    const output = new Output({ ...PLAIN, quiet }, new SlowSink(), stderr);
    await withProgress(output, ({ onProgress }) => {
      onProgress?.({ entries: 1, bytes: 0 });
      return Promise.resolve();
    });
    return stderr.text;
  };
  assertEquals(await heard(true, false), "\r\x1b[K1 entries, 0 B, 0 B/s\r\x1b[K");
  assertEquals(await heard(true, true), "");
  assertEquals(await heard(false, false), "");
});

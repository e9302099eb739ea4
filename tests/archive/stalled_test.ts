// SPDX-License-Identifier: Apache-2.0

/** Work that waits for somebody who does nothing is still ended by its signal. */

import "../_helpers/warm_libc.ts";
import { assertEquals, assertLess } from "@std/assert";
import { Fd, pipe2, trySetPipeSize, writeAll } from "../../ffi/file.ts";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runBytes } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "./_tar_of.ts";

const NEEDS = [needsRoot, needsOverlay, needsProgram("gzip"), needsProgram("zstd")];

/** Without other load it takes 50 ms; the first time a Worker's modules may have to be checked, too. */
const PATIENCE_MS = 5000;
/** Long enough for the work to have started and to wait. */
const SETTLE_MS = 300;

/** Does not fit a pipe, and hardly compresses. */
const BIG = tarOf(Array.from({ length: 40 }, (_, i) => ({ path: `f-${i}`, data: randomText(100_000) })));

function randomText(length: number): string {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  return String.fromCharCode(...bytes);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function withDriver(use: (driver: GraphDriver) => Promise<void>): Promise<void> {
  await using directory = await TempDir.make();
  await using driver = await openDriver({
    root: directory.join("root"),
    runRoot: directory.join("run"),
    work: "worker",
  });
  await use(driver);
}

/** Starts `work`, aborts it when it must be waiting, and fails unless it then ends at once. */
async function assertAborts(work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const abort = new AbortController();
  const failing = assertFails(work(abort.signal), "aborted");
  await sleep(SETTLE_MS);
  const start = performance.now();
  abort.abort();
  await failing;
  const ms = performance.now() - start;
  assertLess(ms, PATIENCE_MS);
}

/** Gives `bytes`, and then nothing more, without an end. */
function stalling(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    start: (controller) => bytes.length > 0 ? controller.enqueue(bytes) : undefined,
    pull: () => new Promise<void>(() => {}),
  });
}

async function compressed(program: string): Promise<Uint8Array<ArrayBuffer>> {
  return (await runBytes(program, ["-c"], { input: BIG })).stdout;
}

const INPUTS: readonly [what: string, start: () => Promise<Uint8Array<ArrayBuffer>>][] = [
  ["gives nothing", () => Promise.resolve(new Uint8Array())],
  ["stops behind its first byte", () => Promise.resolve(BIG.slice(0, 1))],
  ["stops in a header", () => Promise.resolve(BIG.slice(0, 600))],
  ["stops in a file", () => Promise.resolve(BIG.slice(0, 50_000))],
  ["stops behind its end", () => Promise.resolve(BIG)],
  ["stops behind the first bytes of a gzip", async () => (await compressed("gzip")).slice(0, 10)],
  ["stops in the middle of a gzip", async () => (await compressed("gzip")).slice(0, 50_000)],
  ["stops behind the first bytes of a zstd", async () => (await compressed("zstd")).slice(0, 10)],
  ["stops in the middle of a zstd", async () => (await compressed("zstd")).slice(0, 50_000)],
];

for (const [what, start] of INPUTS) {
  for (const digest of [false, true]) {
    testNeeding(NEEDS, `an apply of a stream that ${what} is aborted (digest: ${digest})`, async () => {
      const bytes = await start();
      await withDriver(async (driver) => {
        await driver.create("layer");
        await assertAborts((signal) => driver.applyDiff("layer", stalling(bytes), { signal, digest }));
        await driver.applyDiff("layer", new Blob([BIG]).stream());
      });
    });
  }

  testNeeding(NEEDS, `an apply of a pipe that ${what} is aborted`, async () => {
    const bytes = await start();
    await withDriver(async (driver) => {
      await driver.create("layer");
      const pipe = pipe2();
      using input = new Fd(pipe.readFd);
      using output = new Fd(pipe.writeFd);
      trySetPipeSize(output.fd, 1 << 20);
      writeAll(output.fd, bytes.subarray(0, 1 << 20));
      await assertAborts((signal) => driver.applyDiff("layer", input, { signal }));
      await driver.applyDiff("layer", new Blob([BIG]).stream());
    });
  });
}

for (const compression of [undefined, "gzip", "zstd"] as const) {
  for (const digest of [false, true]) {
    const how = `${compression ?? "plain"}, digest: ${digest}`;
    const options = { digest, ...(compression === undefined ? {} : { compression }) };

    testNeeding(NEEDS, `a diff to a pipe that nobody reads is aborted (${how})`, async () => {
      await withDriver(async (driver) => {
        await driver.create("layer");
        await driver.applyDiff("layer", new Blob([BIG]).stream());
        const pipe = pipe2();
        using _input = new Fd(pipe.readFd);
        using output = new Fd(pipe.writeFd);
        await assertAborts((signal) => driver.diffTo("layer", output, { ...options, signal }));
        await new Response(await driver.diff("layer", options)).bytes();
      });
    });

    testNeeding(NEEDS, `a diff whose stream nobody reads ends when that is cancelled (${how})`, async () => {
      await withDriver(async (driver) => {
        await driver.create("layer");
        await driver.applyDiff("layer", new Blob([BIG]).stream());
        const before = (await namesIn("/proc/self/fd")).length;
        const stream = await driver.diff("layer", options);
        await sleep(SETTLE_MS);
        const start = performance.now();
        await stream.cancel();
        const ms = performance.now() - start;
        assertLess(ms, PATIENCE_MS);
        await sleep(SETTLE_MS);
        assertEquals((await namesIn("/proc/self/fd")).length <= before + 2, true);
      });
    });
  }
}

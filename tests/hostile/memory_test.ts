// SPDX-License-Identifier: Apache-2.0

/** How much memory the program takes does not depend on how much goes through it. */

import { fileURLToPath } from "node:url";
import { assertEquals, assertLess } from "@std/assert";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { tarBody } from "../archive/_tar_of.ts";
import { laminaCommand, TestStore } from "../cli/_run_lamina.ts";

const NEEDS = [needsRoot, needsOverlay, needsProgram("python3")];
const PEAK_MEMORY = fileURLToPath(new URL("_peak_memory.py", import.meta.url));
const MOST_BYTES = 200e6;
const GIB = 2 ** 30;
const END = new Uint8Array(1024);

/** Runs a command of lamina that reads `input`; returns the most bytes that it had resident. */
async function peakOf(store: TestStore, args: readonly string[], input: Iterable<Uint8Array> = []): Promise<number> {
  const result = store.directory.join("peak");
  await using child = new Deno.Command("python3", {
    args: [PEAK_MEMORY, result, ...laminaCommand(), ...store.options, ...args],
    stdin: "piped",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  await ReadableStream.from(input).pipeTo(child.stdin);
  assertEquals((await child.status).code, 0);
  return 1024 * Number(await Deno.readTextFile(result));
}

/** Files of 1 KiB to 64 MiB, again and again under the same names, so that the disk holds a few of them at a time. */
function* bigArchive(size: number): Generator<Uint8Array> {
  const zeros = new Uint8Array(1 << 20);
  const sizes = Array.from({ length: 17 }, (_, power) => 1024 << power);
  for (let written = 0; written < size;) {
    for (const length of sizes) {
      yield tarBody([{ path: `file of ${length}`, size: length }]);
      for (let left = length; left > 0; left -= zeros.length) yield zeros.subarray(0, Math.min(left, zeros.length));
      written += 512 + length;
    }
  }
  yield END;
}

/** Empty files, ten to a directory. */
function* manyFiles(count: number): Generator<Uint8Array> {
  for (let first = 0; first < count; first += 10) {
    const directory = `directory ${first % 1000}/${first}`;
    yield tarBody([
      { path: `${directory}/`, type: "5", mode: 0o755 },
      ...Array.from({ length: 9 }, (_, i) => ({ path: `${directory}/file ${i}` })),
    ]);
  }
  yield END;
}

/** Many files are gone from memory in an instant, and a hole that is read takes none. */
async function mountTmpfs(path: string): Promise<void> {
  await runOk("mount", ["-t", "tmpfs", "tmpfs", path]);
}

testNeeding(NEEDS, "apply of 5 GiB stays below 200 MB of memory", async () => {
  await using store = await TestStore.make();
  assertLess(await peakOf(store, ["apply", "big", "-"], bigArchive(5 * GIB)), MOST_BYTES);
});

testNeeding(NEEDS, "apply and diff of 300,000 entries stay below 200 MB of memory", async () => {
  await using store = await TestStore.make();
  await mountTmpfs(await store.directory.mkdir("root"));
  assertLess(await peakOf(store, ["apply", "many", "-"], manyFiles(300_000)), MOST_BYTES);
  assertLess(await peakOf(store, ["diff", "many"]), MOST_BYTES);
});

testNeeding(NEEDS, "diff of 5 GiB stays below 200 MB of memory", async () => {
  await using store = await TestStore.make();
  await mountTmpfs(await store.directory.mkdir("root"));
  await store.ok(["create", "big", "--read-write"]);
  const merged = (await store.ok(["mount", "big"])).trimEnd();
  for (const name of ["a", "b", "c", "d", "e"]) await runOk("truncate", ["-s", "1G", `${merged}/${name}`]);
  await store.ok(["unmount", "big"]);
  assertLess(await peakOf(store, ["diff", "big"]), MOST_BYTES);
});

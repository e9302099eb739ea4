// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina du` and `lamina tree --size`: what layers occupy, as people and scripts read it.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import type { DiskUsage } from "../../lib/drivers/driver.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run } from "../_helpers/run.ts";
import { laminaCommand, TestStore } from "./_run_lamina.ts";

/** A store with an empty layer `empty`, and `full` with a megabyte in a directory that is not root's. */
async function makeStore(): Promise<{ store: TestStore; upperDir: string }> {
  const store = await TestStore.make();
  await store.ok(["create", "empty"]);
  await store.ok(["create", "full"]);
  const { upperDir } = await store.json(["inspect", "full"]) as { upperDir: string };
  await Deno.mkdir(`${upperDir}/private`, { mode: 0o700 });
  await Deno.writeFile(`${upperDir}/private/file`, new Uint8Array(1024 * 1024));
  await Deno.chown(`${upperDir}/private`, 1000, 1000);
  return { store, upperDir };
}

testNeeding([needsRoot, needsOverlay], "du lists the largest layers first, and tree --size as they lie", async () => {
  const { store } = await makeStore();
  await using _store = store;
  const lines = (await store.ok(["du"])).split("\n");
  assertMatch(lines[0]!, /^ *EXCLUSIVE +SHARED +APPARENT +ALLOCATED +LAYER$/);
  assertMatch(lines[1]!, /^ *1\.06 MB +0 B +1\.05 MB +1\.06 MB {2}full$/);
  assertMatch(lines[2]!, /^ *\d.* +0 B +\d.* {2}empty$/);
  assertMatch(lines[3]!, /^ *1\.0\d MB .* {2}\(all of them\)$/);
  assertEquals((await store.ok(["du", "empty"])).split("\n").length, 4);
  const { layers, total } = await store.json(["du"]) as DiskUsage;
  assertEquals(layers.map(({ id, apparentBytes }) => [id, apparentBytes]), [["full", 1048576], ["empty", 0]]);
  assertEquals(total.allocatedBytes, layers[0]!.allocatedBytes + layers[1]!.allocatedBytes);
  assertMatch(
    await store.ok(["tree", "--size"]),
    /^DEPTH +AGE {2}MOUNTED +SIZE {2}LAYER\n.* 0 B {2}empty\n.* 1.05 MB {2}full\n$/,
  );
  const nodes = await store.json(["tree"]) as { sizeBytes: unknown }[];
  assertEquals(nodes.map(({ sizeBytes }) => sizeBytes), [null, null]);
});

testNeeding([needsRoot, needsOverlay, needsProgram("setpriv")], "du tells what it cannot read", async () => {
  const { store } = await makeStore();
  await using _store = store;
  const words = ["--bounding-set=-all", "--", ...laminaCommand(), ...store.options, "du", "full", "--json"];
  const { code, stdout, stderr } = await run("setpriv", words);
  assertEquals([code, stderr], [1, 'lamina: warning: cannot read /private of layer "full": EACCES\n']);
  const { layers } = JSON.parse(stdout) as DiskUsage;
  assertEquals(layers[0]!.unreadable, [{ path: "/private", reason: "EACCES" }]);
});

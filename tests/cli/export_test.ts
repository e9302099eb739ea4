// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina export`. That an export shows what a mount shows is tested on all drivers in tests/drivers/whole_layers_test.ts.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { TestStore } from "./_run_lamina.ts";

const NEEDS = [needsRoot, needsOverlay, needsProgram("tar")];

testNeeding(NEEDS, "export writes a whole root file system, whatever the layer lies on", async () => {
  await using store = await TestStore.make();
  await store.ok(["import", "base", "-"], { input: tarOf([{ path: "a", data: "1" }, { path: "b", data: "1" }]) });
  await store.ok(["import", "top", "-", "--parent", "base"], { input: tarOf([{ path: ".wh.a" }, { path: "c" }]) });
  const archive = store.directory.join("top.tar");
  const told = await store.json(["export", "top", "-o", archive, "--digest"]) as Record<string, unknown>;
  assertEquals([told.id, told.entries], ["top", 3]);
  assertMatch(String(told.diffId), /^sha256:/);
  assertEquals((await runOk("tar", ["-tf", archive])).stdout, "./\nb\nc\n");
});

testNeeding(NEEDS, "an export of a base layer has no whiteouts, though its archive had", async () => {
  await using store = await TestStore.make();
  const tree = await store.directory.mkdir("tree/opaque");
  for (const name of ["../.wh.gone", ".wh..wh..opq", "file"]) await Deno.writeTextFile(`${tree}/${name}`, "");
  const archive = store.directory.join("base.tar");
  await runOk("tar", ["-C", `${tree}/..`, "-cf", archive, "."]);
  await store.ok(["apply", "base", archive]);
  await store.ok(["export", "base", "--compress", "gzip", "-o", archive]);
  assertEquals((await runOk("tar", ["-tzf", archive])).stdout, "./\nopaque/\nopaque/file\n");
});

testNeeding(NEEDS, "export writes to a pipe, and not beside JSON", async () => {
  await using store = await TestStore.make();
  await store.ok(["create", "base"]);
  assertEquals((await store.ok(["export", "base"])).length, 1024);
  const { code, stderr } = await store.lamina(["export", "base", "--json"]);
  assertEquals(code, 2);
  assert(stderr.startsWith("lamina: error: --json needs -o FILE"), stderr);
  assertEquals((await store.lamina(["export", "none"])).code, 3);
});

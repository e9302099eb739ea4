// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina export`: what goes out is what a mount shows, whatever the layer lies on.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { DRIVER_NAMES } from "../../mod.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { makeChangedLayers } from "./_changed_layers.ts";
import { TestStore } from "./_run_lamina.ts";

const NEEDS = [needsRoot, needsOverlay, ...["tar", "setfattr", "setcap", "getfattr"].map(needsProgram)];

for (const driver of DRIVER_NAMES) {
  testNeeding(NEEDS, `${driver}: tar unpacks of an export what a mount of the layer shows`, async () => {
    await using store = await makeChangedLayers(driver);
    const [archive, out] = [store.directory.join("top.tar"), await store.directory.mkdir("out")];
    const told = await store.json(["export", "top", "-o", archive, "--digest"]) as Record<string, unknown>;
    assertEquals(told.id, "top");
    assertMatch(String(told.diffId), /^sha256:/);
    await runOk("tar", ["-C", out, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", archive]);
    const merged = (await store.ok(["mount", "top"])).trimEnd();
    await assertSameTree(out, merged);
  });
}

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

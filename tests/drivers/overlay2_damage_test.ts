// SPDX-License-Identifier: Apache-2.0

/** What a damaged store answers: always an error of the library with a code, and never a further loss. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { listTree } from "../_helpers/tree.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { streamOf } from "./driver_suite.ts";

const NEEDS = [needsRoot, needsOverlay];

async function open(directory: TempDir): Promise<GraphDriver> {
  return await openDriver({ root: directory.join("root"), runRoot: directory.join("run"), work: "in-place" });
}

const MISSING: readonly [name: string, script: string, says: string][] = [
  ["its own content", "rm -r child/diff", "child/diff is missing"],
  ["its work directory", "rm -r child/work", "child/work is missing"],
  ["its parent's content", "rm -r base/diff", "is missing, or leads nowhere"],
  ["its parent's short name", "rm l/$(cat base/link)", "is missing, or leads nowhere"],
  [
    "its parent behind a circle of links",
    "ln -sfn $(cat base/link) l/$(cat base/link)",
    "not to a layer",
  ],
];

for (const [name, script, says] of MISSING) {
  testNeeding(NEEDS, `get() of an overlay2 layer without ${name} is store_damaged, and mounts nothing`, async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory);
    await driver.create("base");
    await driver.createReadWrite("child", { parent: "base" });
    await runOk("bash", ["-ec", script], { cwd: driver.home });
    assertStringIncludes((await assertFails(driver.get("child"), "store_damaged")).message, says);
    assertEquals(mountPointsBelow(directory.path), []);
    assertEquals((await namesIn(`${driver.home}/child`)).includes("merged"), false);
    await driver.remove("child");
    assert(!await driver.exists("child"));
  });
}

testNeeding(NEEDS, "an overlay2 layer without content is store_damaged in every operation", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await Deno.remove(`${driver.home}/base/diff`);
  await assertFails(driver.get("base"), "store_damaged");
  await assertFails(driver.diff("base"), "store_damaged");
  await assertFails(driver.changes("base"), "store_damaged");
  await assertFails(driver.diffSize("base"), "store_damaged");
  await assertFails(driver.diffGetter("base"), "store_damaged");
  await assertFails(driver.applyDiff("base", streamOf(tarOf([]))), "store_damaged");
  await assertFails(driver.create("child", { parent: "base" }), "store_damaged");
  await assertFails(driver.createFromTemplate("copy", "base"), "store_damaged");
  assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base"]);
});

for (const [name, script] of [["empty", ": >base/link"], ["missing", "rm base/link"]] as const) {
  testNeeding(NEEDS, `remove() of an overlay2 parent whose link file is ${name} makes no orphan`, async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory);
    await driver.create("base");
    await driver.create("child", { parent: "base" });
    await driver.create("other");
    await runOk("bash", ["-ec", script], { cwd: driver.home });
    const before = await listTree(driver.home);
    await assertFails(driver.remove("base", { force: true }), "layer_in_use");
    assertEquals(await listTree(driver.home), before);
    await using child = await driver.get("child");
    assertEquals(mountPointsBelow(driver.home), [child.path]);
  });
}

testNeeding(NEEDS, "a stray file or directory in an overlay2 home is no layer, and stays", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await runOk("bash", ["-ec", "mkdir lost+found stray .tmp; : >file; ln -s base link; : >backingFsBlockDev"], {
    cwd: driver.home,
  });
  assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base"]);
  await assertFails(driver.get("link"), "layer_not_found");
  await assertFails(driver.get("file"), "layer_not_found");
  await assertFails(driver.create("backingFsBlockDev"), "invalid_argument");
  await driver.remove("link");
  assert(await driver.exists("base"));
  assertEquals(await Deno.readLink(`${driver.home}/link`), "base");
});

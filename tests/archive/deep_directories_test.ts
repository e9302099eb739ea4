// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { openDriver } from "../../lib/drivers/registry.ts";
import { StorageError } from "../../lib/errors.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { TestStore } from "../cli/_run_lamina.ts";
import { packFile, unpackFile } from "./_engine.ts";

const NEEDS = [needsRoot, needsOverlay, needsProgram("tar")];
const MOST = 1000;

/** Makes `levels` directories in each other, with a file in the innermost; the file's path. */
async function makeDeep(tree: string, levels: number): Promise<string> {
  const path = "d/".repeat(levels);
  await Deno.mkdir(`${tree}/${path}`, { recursive: true });
  await Deno.writeTextFile(`${tree}/${path}leaf`, "bottom");
  return `${path}leaf`;
}

/** An archive by GNU tar of `levels` directories in each other. */
async function deepArchive(directory: TempDir, levels: number): Promise<{ archive: string; leaf: string }> {
  const tree = await directory.mkdir(`tree-${levels}`);
  const leaf = await makeDeep(tree, levels);
  const archive = directory.join(`${levels}.tar`);
  await runOk("tar", ["-C", tree, "-cf", archive, "."]);
  return { archive, leaf };
}

testNeeding(NEEDS, "pack() and unpack() take directories 1000 levels deep, and refuse 1001", async () => {
  await using directory = await TempDir.make();
  const tree = await directory.mkdir("tree");
  const leaf = await makeDeep(tree, MOST);
  assertEquals(packFile(tree, directory.join("a.tar")).entries, 1 + MOST + 1);
  unpackFile(directory.join("a.tar"), directory.join("copy"));
  assertEquals(await Deno.readTextFile(directory.join("copy", leaf)), "bottom");
  const deeper = await directory.mkdir("deeper");
  await makeDeep(deeper, MOST + 1);
  const packing = (): unknown => packFile(deeper, directory.join("b.tar"));
  assertEquals(assertThrows(packing, StorageError).code, "limit_exceeded");
  const { archive } = await deepArchive(directory, MOST + 1);
  const unpacking = (): unknown => unpackFile(archive, directory.join("other"));
  assertEquals(assertThrows(unpacking, StorageError).code, "limit_exceeded");
});

for (const work of ["worker", "in-place"] as const) {
  testNeeding(NEEDS, `a driver takes in, gives out and counts 1000 levels of directories (${work})`, async () => {
    await using directory = await TempDir.make();
    const { archive, leaf } = await deepArchive(directory, MOST);
    await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run"), work });
    await driver.create("deep");
    await driver.applyDiff("deep", (await Deno.open(archive)).readable);
    const { upperDir } = await driver.getMetadata("deep");
    assertEquals(await Deno.readTextFile(`${upperDir}/${leaf}`), "bottom");
    assertEquals(await driver.diffSize("deep"), "bottom".length);
    assertEquals((await driver.changes("deep")).at(-1)!.path, `/${leaf}`);
    await driver.create("copy");
    await driver.applyDiff("copy", await driver.diff("deep"));
    const copy = await driver.getMetadata("copy");
    assertEquals(await Deno.readTextFile(`${copy.upperDir}/${leaf}`), "bottom");
    for (const id of ["copy", "deep"]) await driver.remove(id);
  });

  testNeeding(NEEDS, `a driver refuses 1001 levels of directories (${work})`, async () => {
    await using directory = await TempDir.make();
    const { archive } = await deepArchive(directory, MOST + 1);
    await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run"), work });
    await driver.create("deep");
    await assertFails(driver.applyDiff("deep", (await Deno.open(archive)).readable), "limit_exceeded");
    assertEquals(await driver.diffSize("deep"), 0);
    const { upperDir } = await driver.getMetadata("deep");
    await makeDeep(upperDir, MOST + 1);
    const error = await assertFails(new Response(await driver.diff("deep")).bytes(), "limit_exceeded");
    assertStringIncludes(error.message, "1000");
  });
}

testNeeding(NEEDS, "the command line takes in and gives out 1000 levels of directories, and refuses 1001", async () => {
  await using store = await TestStore.make();
  const { archive } = await deepArchive(store.directory, MOST);
  await store.ok(["apply", "deep", archive]);
  const first = store.directory.join("first.tar");
  await store.ok(["diff", "deep", "-o", first]);
  await store.ok(["apply", "copy", first]);
  const second = store.directory.join("second.tar");
  await store.ok(["diff", "copy", "-o", second]);
  assertEquals(await Deno.readFile(second), await Deno.readFile(first));
  const deeper = await deepArchive(store.directory, MOST + 1);
  const { code, stderr } = await store.lamina(["apply", "deeper", deeper.archive]);
  assertEquals(code === 0, false);
  assertStringIncludes(stderr, "1000");
});

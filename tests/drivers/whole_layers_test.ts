// SPDX-License-Identifier: Apache-2.0

/**
 * Layers that are made as a whole, and written as a whole: no difference to be seen, on any driver.
 *
 * @module
 */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { DRIVER_NAMES, type DriverName, openDriver } from "../../lib/drivers/registry.ts";
import { importLayer, squashLayer } from "../../lib/drivers/whole_layers.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { makeChangedLayers, NEEDS_CHANGED_LAYERS } from "./_changed_layers.ts";

const NEEDS = [needsRoot, needsOverlay, ...NEEDS_CHANGED_LAYERS];

function openIn(directory: TempDir, driver: DriverName): Promise<GraphDriver> {
  return openDriver({ root: directory.join("root"), runRoot: directory.join("run"), driver });
}

async function idsOf(driver: GraphDriver): Promise<string[]> {
  return (await Array.fromAsync(driver.layers())).map(({ id }) => id);
}

for (const name of DRIVER_NAMES) {
  testNeeding(
    NEEDS,
    `${name}: a squashed layer shows what the layers show, above nothing and above any of them`,
    async () => {
      await using directory = await TempDir.make();
      await using driver = await openIn(directory, name);
      await makeChangedLayers(driver);
      await using expected = await driver.get("top");
      for (const parent of [undefined, "base", "middle"]) {
        const id = `above-${parent ?? "nothing"}`;
        await squashLayer(driver, "top", id, parent === undefined ? {} : { parent });
        await using actual = await driver.get(id);
        await assertSameTree(actual.path, expected.path);
      }
      const parents = (await Array.fromAsync(driver.layers())).map(({ id, parent }) => [id, parent]);
      assertEquals(parents.slice(0, 3), [["above-base", "base"], ["above-middle", "middle"], [
        "above-nothing",
        undefined,
      ]]);
    },
  );

  testNeeding([...NEEDS, needsProgram("tar")], `${name}: tar unpacks of a whole diff what a mount shows`, async () => {
    await using directory = await TempDir.make();
    await using driver = await openIn(directory, name);
    await makeChangedLayers(driver);
    const [archive, out] = [directory.join("top.tar"), await directory.mkdir("out")];
    await Deno.writeFile(archive, await driver.diff("top", { whole: true, parent: "base" }));
    await runOk("tar", ["-C", out, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", archive]);
    await using expected = await driver.get("top");
    await assertSameTree(out, expected.path);
    await importLayer(driver, "again", (await Deno.open(archive)).readable);
    await using again = await driver.get("again");
    await assertSameTree(again.path, expected.path);
  });
}

testNeeding(NEEDS, "a layer that cannot be made whole is not there, and nothing keeps the process", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "overlay2");
  await makeChangedLayers(driver);
  const before = await idsOf(driver);
  await assertFails(squashLayer(driver, "base", "new", { parent: "top" }), "invalid_argument");
  await assertFails(squashLayer(driver, "base", "new", { parent: "base" }), "invalid_argument");
  await assertFails(squashLayer(driver, "top", "new", { parent: "none" }), "parent_not_found");
  await assertFails(squashLayer(driver, "none", "new"), "layer_not_found");
  await assertFails(squashLayer(driver, "top", "base"), "layer_exists");
  await assertFails(squashLayer(driver, "top", "../new"), "invalid_argument");
  await assertFails(squashLayer(driver, "top", "new", { signal: AbortSignal.abort() }), "aborted");
  // No archive can hold such a name, which is found out when a part of the others is out.
  await Deno.writeTextFile(`${(await driver.getMetadata("top")).upperDir}/usr/.wh.x`, "");
  await assertFails(squashLayer(driver, "top", "new"), "not_supported");
  await assertFails(squashLayer(driver, "top", "new", { parent: "base" }), "not_supported");
  await assertFails(importLayer(driver, "new", new Blob([tarOf([{ path: "../x" }])]).stream()), "unsafe_path");
  assertEquals(await idsOf(driver), before);
});

testNeeding(
  [...NEEDS, needsProgram("python3")],
  "a socket stays behind where layers are squashed, and is told",
  async () => {
    await using directory = await TempDir.make();
    const warnings: string[] = [];
    const logger = { debug(): void {}, info(): void {}, warn: (message: string) => void warnings.push(message) };
    await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run"), logger });
    await driver.create("base");
    const socket = `${(await driver.getMetadata("base")).upperDir}/sock`;
    await runOk("python3", ["-c", "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])", socket]);
    assertEquals((await squashLayer(driver, "base", "new")).entries, 1);
    assertEquals(warnings, ["left out sock: an archive cannot hold a socket"]);
  },
);

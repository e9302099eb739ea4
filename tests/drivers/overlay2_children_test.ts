// SPDX-License-Identifier: Apache-2.0

/** A layer that others lie on is never removed, whoever made those, and however often was asked before. */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { AT_FDCWD, RENAME_EXCHANGE, renameat2 } from "../../ffi/file.ts";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];

function open(directory: TempDir): Promise<GraphDriver> {
  return openDriver({
    root: directory.join("root"),
    runRoot: directory.join("run"),
    driver: "overlay2",
    work: "in-place",
  });
}

/** Asks several times, so that it no longer looks into each layer. */
async function askOften(driver: GraphDriver): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await driver.create(`asked-${i}`);
    await driver.remove(`asked-${i}`);
  }
}

testNeeding(NEEDS, "a parent stays while it has a child, and goes afterwards", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await askOften(driver);
  for (const round of [1, 2]) {
    await driver.create(`child-${round}`, { parent: "base" });
    await driver.create(`grandchild-${round}`, { parent: `child-${round}` });
    await assertFails(driver.remove("base"), "layer_in_use");
    await assertFails(driver.remove(`child-${round}`), "layer_in_use");
    await driver.remove(`grandchild-${round}`);
    await driver.remove(`child-${round}`);
  }
  await driver.remove("base");
  assertEquals(await Array.fromAsync(driver.layers()), []);
});

testNeeding(NEEDS, "a child is known whose directory was exchanged for another, as a remap does it", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await driver.create("child", { parent: "base" });
  await askOften(driver);
  const [child, other] = [`${driver.home}/child`, `${driver.home}/.lamina-remap-X`];
  await runOk("cp", ["-a", child, other]);
  renameat2(AT_FDCWD, other, AT_FDCWD, child, RENAME_EXCHANGE);
  await Deno.remove(other, { recursive: true });
  await assertFails(driver.remove("base"), "layer_in_use");
});

testNeeding(NEEDS, "a child that another process made, or made again over another parent, is known", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  for (const id of ["one", "two"]) await driver.create(id);
  await askOften(driver);
  await using other = await open(directory);
  await other.create("child", { parent: "one" });
  await assertFails(driver.remove("one"), "layer_in_use");
  await other.remove("child");
  await other.create("child", { parent: "two" });
  await assertFails(driver.remove("two"), "layer_in_use");
  await driver.remove("one");
});

testNeeding(NEEDS, "a child whose lower file comes after its directory, as Docker makes it, is known", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await askOften(driver);
  const child = `${driver.home}/by-docker`;
  await Deno.mkdir(`${child}/diff`, { recursive: true });
  await driver.create("asked");
  await driver.remove("asked");
  await Deno.writeTextFile(`${child}/lower`, `l/${await Deno.readTextFile(`${driver.home}/base/link`)}`);
  await assertFails(driver.remove("base"), "layer_in_use");
});

testNeeding(NEEDS, "a child is known whose maker paused before he wrote into its lower file", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await askOften(driver);
  const child = `${driver.home}/by-docker`;
  await Deno.mkdir(`${child}/diff`, { recursive: true });
  await Deno.writeTextFile(`${child}/lower`, "");
  await askOften(driver);
  await Deno.writeTextFile(`${child}/lower`, `l/${await Deno.readTextFile(`${driver.home}/base/link`)}`);
  await assertFails(driver.remove("base"), "layer_in_use");
});

testNeeding(NEEDS, "a child is known whose maker paused while the clock was set", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await driver.create("child", { parent: "base" });
  const lower = await Deno.readTextFile(`${driver.home}/child/lower`);
  await driver.remove("child");
  await askOften(driver);
  // Docker makes the directory first, and then what is in it.
  await Deno.mkdir(`${driver.home}/foreign`);
  await Deno.utime(`${driver.home}/foreign`, new Date(0), new Date(0));
  await askOften(driver);
  await Deno.writeTextFile(`${driver.home}/foreign/lower`, lower);
  await assertFails(driver.remove("base"), "layer_in_use");
});

// SPDX-License-Identifier: Apache-2.0

/** Homes that cannot carry layers, or cannot carry them now: a clear code, and nothing left in them. */

import "../_helpers/warm_libc.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsProgram, needsRoot, type Requirement, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { streamOf } from "./driver_suite.ts";

const NEEDS = [needsRoot, needsOverlay];

async function open(directory: TempDir, home: string): Promise<GraphDriver> {
  return await openDriver({ home, runRoot: directory.join("run"), work: "in-place" });
}

/** A file as a file system: found out by trying. */
const needsLoop: Requirement = {
  name: "loop device",
  missing(): string | undefined {
    if (Deno.uid() !== 0) return "needs root";
    using directory = TempDir.makeSync();
    const script = "truncate -s 16M image; mkfs.ext4 -q image; mkdir at; mount -o loop image at; umount at";
    const { success } = new Deno.Command("bash", { args: ["-ec", script], cwd: directory.path, stderr: "null" })
      .outputSync();
    return success ? undefined : "needs a loop device";
  },
};

testNeeding(
  [...NEEDS, needsProgram("mkfs.ext4"), needsLoop],
  "a home without types of names says how to make it",
  async () => {
    await using directory = await TempDir.make();
    const script =
      "truncate -s 16M image; mkfs.ext4 -q -O ^filetype image; mkdir at; mount -o loop image at; mkdir at/home";
    await runOk("bash", ["-ec", script], { cwd: directory.path });
    await using driver = await open(directory, directory.join("at/home"));
    for (let i = 0; i < 2; i++) {
      const error = await assertFails(driver.create("base"), "incompatible_filesystem");
      assertMatch(error.message, /d_type.*filetype/);
      assertEquals(await namesIn(directory.join("at/home")), []);
    }
    assertEquals(mountPointsBelow(directory.path), [directory.join("at")]);
  },
);

testNeeding(NEEDS, "a full home is no_space, and the layer as empty as before", async () => {
  await using directory = await TempDir.make();
  const home = await directory.mkdir("home");
  await runOk("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", home]);
  await using driver = await open(directory, home);
  await driver.create("base");
  const big = tarOf([{ path: "a", data: "x".repeat(100) }, { path: "big", data: "x".repeat(4 << 20) }]);
  await assertFails(driver.applyDiff("base", streamOf(big, 1 << 16)), "no_space");
  assertEquals(await driver.changes("base"), []);
  await driver.applyDiff("base", streamOf(tarOf([{ path: "small", data: "x" }])));
  assertEquals(await driver.changes("base"), [{ path: "/small", kind: "add" }]);
});

testNeeding(NEEDS, "a store that became read-only is read, and each change is store_read_only", async () => {
  await using directory = await TempDir.make();
  const home = await directory.mkdir("home");
  await runOk("mount", ["-t", "tmpfs", "tmpfs", home]);
  {
    await using driver = await open(directory, home);
    await driver.create("base");
    await driver.applyDiff("base", streamOf(tarOf([{ path: "file", data: "x" }])));
    await driver.create("empty");
    await driver.createReadWrite("job", { parent: "base" });
  }
  await runOk("mount", ["-o", "remount,ro", home]);
  await using driver = await open(directory, home);
  assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base", "empty", "job"]);
  assertEquals(await driver.changes("base"), [{ path: "/file", kind: "add" }]);
  await new Response(await driver.diff("base")).bytes();
  await assertFails(driver.create("new"), "store_read_only");
  await assertFails(driver.create("new", { parent: "base" }), "store_read_only");
  await assertFails(driver.get("job"), "store_read_only");
  await assertFails(driver.applyDiff("empty", streamOf(tarOf([]))), "store_read_only");
  await assertFails(driver.remove("job"), "store_read_only");
  await driver.put("job");
  await driver.cleanup();
  assertEquals(mountPointsBelow(directory.path), [home]);
});

testNeeding(NEEDS, "a home that is a file, or lies below one, is an error that names it", async () => {
  await using directory = await TempDir.make();
  await Deno.writeTextFile(directory.join("file"), "content");
  for (const home of [directory.join("file"), directory.join("file", "home")]) {
    await using driver = await open(directory, home);
    assertStringIncludes((await assertFails(driver.create("base"), "system_error")).message, home);
  }
  assertEquals(await Deno.readTextFile(directory.join("file")), "content");
});

testNeeding(NEEDS, "a home that is not there has nothing to be listed, checked or cleared away", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory, directory.join("home"));
  assertEquals(await Array.fromAsync(driver.layers()), []);
  assertEquals(await Array.fromAsync(driver.check({ repair: true })), []);
  assertEquals(await driver.views(), []);
  assertEquals(await driver.sweep(), []);
  await driver.cleanup();
  assertEquals(await namesIn(directory.path), []);
});

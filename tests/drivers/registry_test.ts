// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { openDriver } from "../../lib/drivers/registry.ts";
import type { StorageError } from "../../lib/errors.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];

Deno.test("openDriver() makes nothing on disk", async () => {
  await using directory = await TempDir.make();
  await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run") });
  assertEquals(driver.name, "overlay2");
  assertEquals(driver.home, directory.join("root/overlay2"));
  assert(!await driver.exists("base"));
  assertEquals(await Array.fromAsync(driver.layers()), []);
  assertEquals(await namesIn(directory.path), []);
});

Deno.test("openDriver() refuses a driver that there is not", async () => {
  await assertFails(openDriver({ driver: "aufs" as never }), "not_supported");
});

Deno.test("openDriver() tells a root of another driver, and of two", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("root/devicemapper/0123");
  const options = { root: directory.join("root"), runRoot: directory.join("run") };
  await assertFails(openDriver(options), "prior_driver_conflict");
  await directory.mkdir("root/overlay2/0123/diff");
  const error = await assertFails(openDriver(options), "prior_driver_conflict");
  assert(error.message.includes("overlay2, devicemapper"), error.message);
  await using _driver = await openDriver({ ...options, driver: "overlay2" });
});

/** What a home on an unfit file system answers; nothing may be left in it. */
async function refusalOf(directory: TempDir, home: string): Promise<StorageError> {
  await using driver = await openDriver({ home, runRoot: directory.join("run"), work: "in-place" });
  const error = await assertFails(driver.create("base"), "incompatible_filesystem");
  assertEquals(await namesIn(home), []);
  return error;
}

testNeeding(NEEDS, "a home on another overlay is incompatible_filesystem", async () => {
  await using directory = await TempDir.make();
  for (const name of ["lower", "upper", "work", "home"]) await directory.mkdir(name);
  const options = `lowerdir=lower,upperdir=upper,workdir=work`;
  await runOk("mount", ["-t", "overlay", "overlay", "-o", options, "home"], { cwd: directory.path });
  const error = await refusalOf(directory, directory.join("home"));
  assert(error.message.includes("overlayfs"), error.message);
  assertEquals(mountPointsBelow(directory.path), [directory.join("home")]);
});

testNeeding(NEEDS, "a home without extended attributes is incompatible_filesystem", async () => {
  await using directory = await TempDir.make();
  const home = await directory.mkdir("home");
  await runOk("mount", ["-t", "ramfs", "ramfs", home]);
  await refusalOf(directory, home);
});

testNeeding(NEEDS, "a read-only home is store_read_only", async () => {
  await using directory = await TempDir.make();
  const home = await directory.mkdir("home");
  await runOk("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", home]);
  await using driver = await openDriver({ home, runRoot: directory.join("run"), work: "in-place" });
  await assertFails(driver.create("base"), "store_read_only");
});

testNeeding(NEEDS, "a home whose path is full of what divides options works by both interfaces", async () => {
  for (const mountApi of ["classic", "new"] as const) {
    await using directory = await TempDir.make();
    const home = await directory.mkdir(`a:b,c\\d e'f"ü/${mountApi === "new" ? "x".repeat(250) : "x"}`);
    await using driver = await openDriver({ home, runRoot: directory.join("run"), work: "in-place", mountApi });
    await driver.create("base");
    await driver.create("child", { parent: "base" });
    await using child = await driver.get("child");
    await Deno.writeTextFile(`${child.path}/file`, "x");
    assertEquals(await driver.changes("child"), [{ path: "/file", kind: "add" }]);
  }
});

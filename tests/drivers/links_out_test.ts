// SPDX-License-Identifier: Apache-2.0

/** A store whose directories are links that lead out of it: nothing is mounted there, read from there, or unmounted. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { type DriverName, openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { snapshot } from "../_helpers/snapshot.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];

/** The directories that `job` on `image` is mounted from, and at, in the home. */
const DIRECTORIES: Readonly<Record<DriverName, readonly string[]>> = {
  "overlay2": ["job/merged", "job/diff", "job/work", "image/diff", "base/diff", "image", "base"],
  "containers-overlay": ["job/merged", "job/diff", "job/work", "image/diff", "base/diff"],
  "overlay": ["job/merged", "job/upper", "job/work", "base/root"],
};

async function open(directory: TempDir, driver: DriverName): Promise<GraphDriver> {
  return await openDriver({ root: directory.join("root"), runRoot: directory.join("run"), driver, work: "in-place" });
}

async function fill(driver: GraphDriver): Promise<void> {
  await driver.create("base");
  await driver.create("image", { parent: "base" });
  await driver.createReadWrite("job", { parent: "image" });
}

/** Has `path` be a link to a directory outside, in which the kernel would find all that it looks for; returns that. */
async function leadOut(directory: TempDir, path: string): Promise<string> {
  const outside = directory.join("outside");
  await Deno.mkdir(`${outside}/diff`, { recursive: true });
  await Deno.mkdir(`${outside}/work`);
  await Deno.writeTextFile(`${outside}/secret`, "secret");
  await runOk("bash", ["-ec", 'rm -rf "$1"; ln -s "$2" "$1"', "bash", path, outside]);
  return outside;
}

for (const [driverName, places] of Object.entries(DIRECTORIES) as [DriverName, readonly string[]][]) {
  for (const place of places) {
    testNeeding(NEEDS, `get() of ${driverName} is store_damaged where ${place} leads out of the store`, async () => {
      await using directory = await TempDir.make();
      {
        await using driver = await open(directory, driverName);
        await fill(driver);
      }
      await using driver = await open(directory, driverName);
      const outside = await leadOut(directory, `${driver.home}/${place}`);
      const before = snapshot(outside);
      const { message } = await assertFails(driver.get("job"), "store_damaged");
      assertStringIncludes(message, `${driver.home}/${place}`);
      await driver.put("job");
      assertEquals(mountPointsBelow(directory.path), []);
      assertEquals(snapshot(outside), before);
    });
  }

  testNeeding(NEEDS, `${driverName} leaves a mount alone that a mount point leads to`, async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory, driverName);
    await fill(driver);
    await driver.createReadWrite("other", { parent: "image" });
    await using other = await driver.get("other");
    await Deno.writeTextFile(`${other.path}/file`, "of the other");
    const merged = `${driver.home}/job/merged`;
    await runOk("bash", ["-ec", 'rm -rf "$1"; ln -s "$2" "$1"', "bash", merged, other.path]);

    await assertFails(driver.get("job"), "store_damaged");
    await driver.put("job");
    const findings = await Array.fromAsync(driver.check());
    assertEquals(findings.map(({ code, layer }) => [code, layer]), [["mount_point_not_empty", "job"]]);
    await driver.remove("job");
    assert(!await driver.exists("job"));
    assertEquals(await Deno.readTextFile(`${other.path}/file`), "of the other");
  });
}

testNeeding(
  NEEDS,
  "a base layer whose content leads out of the store is store_damaged in every operation",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory, "overlay2");
    await fill(driver);
    await leadOut(directory, `${driver.home}/base/diff`);
    await assertFails(driver.get("base"), "store_damaged");
    await assertFails(driver.diff("base"), "store_damaged");
    await assertFails(driver.changes("base"), "store_damaged");
    await assertFails(driver.mountAt(directory.join("run"), ["base"]), "store_damaged");
    await driver.remove("job");
  },
);

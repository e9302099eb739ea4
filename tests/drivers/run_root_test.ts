// SPDX-License-Identifier: Apache-2.0

/** Where the state lies that ends with the machine: nobody else can put anything there, and what is lost of it does no harm. */

import "../_helpers/warm_libc.ts";
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];
const SOMEBODY = 54321;

async function open(directory: TempDir): Promise<GraphDriver> {
  return await openDriver({ root: directory.join("root"), runRoot: directory.join("run"), work: "in-place" });
}

/** The one directory in the run root that is the home's. */
async function runDirOf(directory: TempDir): Promise<string> {
  return directory.join("run", (await namesIn(directory.join("run"))).find((name) => name.startsWith("overlay2-"))!);
}

async function makeLayers(directory: TempDir): Promise<void> {
  await using driver = await open(directory);
  await driver.create("base");
  await driver.createReadWrite("job", { parent: "base" });
}

testNeeding(
  NEEDS,
  "a run root of somebody else, or open to others, is invalid_argument, and nothing is put there",
  async () => {
    await using directory = await TempDir.make();
    const runRoot = await directory.mkdir("run");
    for (const change of [() => Deno.chown(runRoot, SOMEBODY, null), () => Deno.chmod(runRoot, 0o777)]) {
      await change();
      await using driver = await open(directory);
      const error = await assertFails(driver.create("base"), "invalid_argument");
      assertStringIncludes(error.message, runRoot);
      assertStringIncludes(error.hint ?? "", "--run-root");
      assertEquals(await namesIn(runRoot), []);
      await Deno.chown(runRoot, 0, null);
    }
  },
);

testNeeding(NEEDS, "a run root may be open and sticky as /tmp is, but for the home's own directory", async () => {
  await using directory = await TempDir.make();
  await Deno.chmod(await directory.mkdir("run"), 0o1777);
  await makeLayers(directory);
  await Deno.chown(await runDirOf(directory), SOMEBODY, null);
  await using driver = await open(directory);
  await assertFails(driver.get("job"), "invalid_argument");
  assertEquals(mountPointsBelow(directory.path), []);
});

testNeeding(NEEDS, "records of views that a power cut emptied are none", async () => {
  await using directory = await TempDir.make();
  await makeLayers(directory);
  const views = `${await runDirOf(directory)}/views`;
  await Deno.mkdir(views, { mode: 0o700 });
  await Deno.writeTextFile(`${views}/ABCDEFGHIJ`, "");
  await using driver = await open(directory);
  assertEquals(await driver.views(), []);
  {
    await using _view = await driver.mountAt(await directory.mkdir("view"), ["job"]);
    await using _layer = await driver.get("job");
  }
  await driver.remove("job");
  assertEquals(await namesIn(await runDirOf(directory)).then((names) => names.includes("views")), false);
});

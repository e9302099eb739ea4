// SPDX-License-Identifier: Apache-2.0

/**
 * Views beyond what the driver suite tests of every driver: their limit, their own flags, and what becomes of them when
 * somebody else takes away what they show.
 *
 * @module
 */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { MS_NOSUID } from "../../ffi/mount.ts";
import { statfs } from "../../ffi/statfs.ts";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { isMountPoint, mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];

function open(directory: TempDir, options: readonly string[] = []): Promise<GraphDriver> {
  const places = { root: directory.join("root"), runRoot: directory.join("run") };
  return openDriver({ ...places, options, work: "in-place", sync: "none" });
}

/** A driver with `job` on `base`. */
async function openWithJob(directory: TempDir): Promise<GraphDriver> {
  const driver = await open(directory);
  await driver.create("base");
  await driver.createReadWrite("job", { parent: "base" });
  return driver;
}

testNeeding(NEEDS, "as many layers are joined as the kernel stacks, and one more is told by number", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory, ["overlay2.max_depth=500"]);
  for (const chain of ["a", "b"]) {
    for (let i = 1; i <= 250; i++) {
      await driver.create(`${chain}${i}`, i === 1 ? {} : { parent: `${chain}${i - 1}` });
    }
  }
  await driver.create("c");
  const place = await directory.mkdir("place");
  {
    await using view = await driver.mountAt(place, ["a250", "b250"]);
    assert(isMountPoint(view.path));
  }
  const error = await assertFails(driver.mountAt(place, ["a250", "b250", "c"]), "max_depth_exceeded");
  assertStringIncludes(error.message, "they are 501, and the kernel stacks 500");
  assertEquals(mountPointsBelow(directory.path), []);
});

testNeeding(NEEDS, "options of mounts count for a view also where its layer is mounted without them", async () => {
  await using directory = await TempDir.make();
  await using driver = await openWithJob(directory);
  await using job = await driver.get("job");
  await using view = await driver.mountAt(await directory.mkdir("place"), ["job"], {
    mountOptions: ["nosuid,volatile"],
  });
  assertEquals(statfs(view.path).mountFlags & MS_NOSUID, MS_NOSUID);
  assertEquals(statfs(job.path).mountFlags & MS_NOSUID, 0);
  for (const option of ["volatile", "rw", "upperdir=/tmp"]) {
    const mountOptions = [option];
    await assertFails(driver.mountAt(view.path, ["job"], { readOnly: true, mountOptions }), "invalid_argument");
  }
});

testNeeding(
  NEEDS,
  "a layer whose mount lives on in a view only is not mounted a second time to be written",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await openWithJob(directory);
    const place = await directory.mkdir("place");
    await driver.mountAt(place, ["job"]);
    await runOk("umount", [(await driver.getMetadata("job")).mergedDir]);
    assertStringIncludes((await assertFails(driver.get("job"), "layer_in_use")).message, place);
    // Whoever starts the service again has it whole.
    await using view = await driver.mountAt(place, ["job"]);
    assertEquals(mountPointsBelow(place), [view.path]);
    await using job = await driver.get("job");
    await Deno.writeTextFile(`${view.path}/new`, "x");
    assertEquals(await Deno.readTextFile(`${job.path}/new`), "x");
  },
);

testNeeding(NEEDS, "two processes that want the same view have one mount between them", async () => {
  await using directory = await TempDir.make();
  await using driver = await openWithJob(directory);
  await using other = await open(directory);
  const place = await directory.mkdir("place");
  await Promise.all([driver, other, driver, other].map((one) => one.mountAt(place, ["job"])));
  assertEquals(mountPointsBelow(place), [place]);
  assert(await other.unmountAt(place));
  assertEquals(mountPointsBelow(directory.path), []);
});

// SPDX-License-Identifier: Apache-2.0

/** kill -9 while layers are shown at a place: another process can always take that down, or show them there again. */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { openDriver } from "../../mod.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const VIEWER = fileURLToPath(new URL("./_viewer.ts", import.meta.url));
const KILLS = 20;

async function viewAndDie(root: string, runRoot: string, place: string): Promise<void> {
  const args = ["run", "--no-lock", "--allow-all", VIEWER, root, runRoot, place];
  const viewer = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
  const reader = viewer.stdout.getReader();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 30));
  viewer.kill("SIGKILL");
  await reader.cancel();
  await viewer.status;
}

testNeeding([needsRoot, needsOverlay], "after kill -9 in mountAt() or unmountAt() nothing is in the way", async () => {
  await using directory = await TempDir.make();
  const [root, runRoot] = [directory.join("root"), directory.join("run")];
  const place = await directory.mkdir("place");
  await using driver = await openDriver({ root, runRoot, work: "in-place" });
  await driver.create("base");
  for (let round = 0; round < KILLS; round++) {
    for (const id of ["job", "other"]) await driver.createReadWrite(id, { parent: "base" });
    await viewAndDie(root, runRoot, place);
    const [mounted] = mountPointsBelow(place);
    assertEquals((await driver.views()).map(({ path }) => path), mounted === undefined ? [] : [place]);
    if (round % 2 === 0) {
      await driver.unmountAt(place);
    } else {
      // Whatever was there, it is not in the way of somebody who wants it taken down first.
      await driver.unmountAt(place);
      await using view = await driver.mountAt(place, ["other", "job"]);
      assertEquals(mountPointsBelow(place), [view.path]);
    }
    assertEquals(mountPointsBelow(place), []);
    // A process that was killed before it wrote its record has mounted nothing; one that did is cleared up after.
    assertEquals(mountPointsBelow(directory.path), []);
    for (const id of ["job", "other"]) await driver.remove(id);
  }
  const runDirs = (await namesIn(runRoot)).map((name) => `${runRoot}/${name}`);
  for (const runDir of runDirs) assertEquals((await namesIn(runDir)).includes("views"), false);
});

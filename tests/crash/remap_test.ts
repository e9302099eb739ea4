// SPDX-License-Identifier: Apache-2.0

/** kill -9 while a layer is given to other ids: it has the owners of before or those of after, all of them. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { openDriver } from "../../mod.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";

const REMAPPER = fileURLToPath(new URL("./_remapper.ts", import.meta.url));
const KILLS = 10;
const FILES = 100;

async function remapAndDie(root: string, runRoot: string, id: string): Promise<void> {
  const args = ["run", "--no-lock", "--allow-all", REMAPPER, root, runRoot, id];
  const remapper = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
  const reader = remapper.stdout.getReader();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
  remapper.kill("SIGKILL");
  await reader.cancel();
  await remapper.status;
}

testNeeding(
  [needsRoot, needsOverlay],
  "after kill -9 in updateLayerIdMap() the layer has all owners of before, or all of after",
  async () => {
    await using directory = await TempDir.make();
    const [root, runRoot] = [directory.join("root"), directory.join("run")];
    await using driver = await openDriver({ root, runRoot, driver: "containers-overlay", work: "in-place" });
    const archive = tarOf(Array.from({ length: FILES }, (_, i) => ({ path: `file-${i}`, data: "x" })));
    const owners = new Set<number>();
    for (let round = 0; round < KILLS; round++) {
      const id = `layer-${round}`;
      await driver.create(id);
      await driver.applyDiff(id, ReadableStream.from([archive]));
      await remapAndDie(root, runRoot, id);
      await using layer = await driver.get(id);
      const names = await namesIn(layer.path);
      assertEquals(names.length, FILES);
      const found = new Set(names.map((name) => Deno.statSync(`${layer.path}/${name}`).uid));
      assertEquals(found.size, 1, `${id} has files of ${[...found].join(" and ")}`);
      owners.add([...found][0]!);
      // One that was killed while it mounted.
      await driver.sweep();
      assertEquals(mountPointsBelow(directory.path), [layer.path]);
    }
    assert([...owners].every((uid) => uid === 0 || uid === 50_000));
    const strange = (await namesIn(driver.home)).filter((name) => !/^(l|layer-\d+|\.lamina-.*)$/.test(name));
    assertEquals(strange, []);
  },
);

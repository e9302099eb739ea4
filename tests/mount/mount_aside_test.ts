// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { mountAside, pathOf, sweepAside } from "../../lib/mount/mount_aside.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

async function mountTmpfs(target: string): Promise<void> {
  await runOk("mount", ["-t", "tmpfs", "tmpfs", target]);
}

testNeeding([needsRoot], "a mount aside is at no place, and is there while its root is open", async () => {
  await using directory = await TempDir.make();
  {
    using root = await mountAside(directory.path, mountTmpfs);
    assertEquals([mountPointsBelow(directory.path), await namesIn(directory.path)], [[], []]);
    await Deno.writeTextFile(`${pathOf(root)}/file`, "x");
    assertEquals(await namesIn(pathOf(root)), ["file"]);
  }
  assertEquals(await namesIn(directory.path), []);
});

testNeeding(
  [needsRoot],
  "what a process left mounted aside is taken off, but not while somebody mounts there",
  async () => {
    await using directory = await TempDir.make();
    const left = directory.join("LEFT");
    await Deno.mkdir(left);
    await mountTmpfs(left);
    await Deno.mkdir(directory.join("EMPTY"));
    using _root = await mountAside(directory.path, async (target) => {
      await mountTmpfs(target);
      assertEquals(sweepAside(directory.path), []);
      assertEquals(mountPointsBelow(directory.path).sort(), [left, target].sort());
    });
    assertEquals(sweepAside(directory.path).sort(), [directory.join("EMPTY"), left]);
    assertEquals([mountPointsBelow(directory.path), await namesIn(directory.path)], [[], []]);
    assertEquals(sweepAside(directory.join("none")), []);
  },
);

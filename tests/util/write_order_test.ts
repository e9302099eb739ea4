// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { type FileState, stateBeforeNames } from "../../lib/util/write_order.ts";
import { EXT4, type Image, mountImage, needsImage, XFS } from "../_helpers/loop_images.ts";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const CASES: Readonly<Record<string, { image: Image; state: FileState }>> = {
  "ext4 as it is usually": { image: EXT4, state: "started" },
  "ext4 that journals content too": { image: { ...EXT4, options: "data=journal" }, state: "started" },
  "ext4 that keeps no order": { image: { ...EXT4, options: "data=writeback" }, state: "synced" },
  "ext4 without a journal": { image: { ...EXT4, mkfs: [...EXT4.mkfs, "-O", "^has_journal"] }, state: "synced" },
  "XFS": { image: XFS, state: "written" },
};

for (const [name, { image, state }] of Object.entries(CASES)) {
  const needs = [needsRoot, needsProgram("mkfs.ext4"), needsProgram("mkfs.xfs"), needsImage(name, image)];
  testNeeding(needs, `before a name, a file has to be ${state} on ${name}`, async () => {
    await using directory = await TempDir.make();
    assertEquals(stateBeforeNames(await mountImage(directory, "image", image)), state);
  });
}

Deno.test("where nothing is known of the file system, a file has to be synced before a name", () => {
  assertEquals(stateBeforeNames("/proc"), "synced");
});

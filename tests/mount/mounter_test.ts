// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { SILENT } from "../../lib/log.ts";
import { KernelMounter, type Mounter, ProgramMounter } from "../../lib/mount/mounter.ts";
import { isMountPoint } from "../_helpers/mount_points.ts";
import { needsFuseOverlayfs, needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const PROGRAM = "/usr/bin/fuse-overlayfs";
const MOUNTERS: readonly Mounter[] = [
  new KernelMounter("auto", "/run/lamina-test"),
  new ProgramMounter(PROGRAM, SILENT),
];

for (const mounter of MOUNTERS) {
  testNeeding([needsRoot, needsOverlay, needsFuseOverlayfs], `${mounter.name} knows its mounts`, async () => {
    await using directory = await TempDir.make();
    const [lower, other, merged] = ["lower", "other", "merged"].map((name) => directory.join(name));
    for (const path of [lower!, other!, merged!]) await Deno.mkdir(path);
    assertEquals(mounter.state(merged!), "none");
    assertEquals(mounter.state(directory.join("missing")), "none");
    await mounter.mount({ lowerDirs: [lower!, other!], upper: undefined, options: [] }, merged!);
    assertEquals(mounter.state(merged!), "mounted");
    await mounter.unmount(merged!);
    assertEquals(mounter.state(merged!), "none");
    assertEquals(isMountPoint(merged!), false);
    await mounter.unmount(merged!);
  });
}

// SPDX-License-Identifier: Apache-2.0

import { assert, assertEquals } from "@std/assert";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { assertSameTree, listTree } from "../_helpers/tree.ts";
import { TestStore } from "../cli/_run_lamina.ts";
import { DEBIAN_ROOTFS, needsDebianRootfs } from "./_debian_rootfs.ts";

const NEEDS = [needsRoot, needsOverlay, ...["tar", "cmp", "getfattr"].map(needsProgram), needsDebianRootfs];
const TAR = ["--numeric-owner", "--xattrs", "--xattrs-include=*"];

testNeeding(NEEDS, "Debian's root file system goes in by GNU tar, and out to it, without any change", async (test) => {
  await using store = await TestStore.make();
  const [theirs, ours, again] = ["theirs.tar", "ours.tar", "again.tar"].map((name) => store.directory.join(name));

  await test.step("the tree has what makes a root file system hard", async () => {
    const lines = await listTree(DEBIAN_ROOTFS);
    for (const mark of ["security.capability", " type=c ", " type=l ", "linkOf=", "mode=4755", "mode=1777"]) {
      assert(lines.some((line) => line.includes(mark)), `${DEBIAN_ROOTFS} has nothing with ${mark}`);
    }
  });

  await test.step("apply of what GNU tar packed is the same tree", async () => {
    await runOk("tar", ["-C", DEBIAN_ROOTFS, "--format=pax", ...TAR, "-cf", theirs!, "."]);
    await store.ok(["apply", "debian", theirs!]);
    const merged = (await store.ok(["mount", "debian", "--read-only"])).trimEnd();
    await assertSameTree(merged, DEBIAN_ROOTFS);
    await store.ok(["unmount", "debian"]);
  });

  await test.step("GNU tar makes of the diff the same tree", async () => {
    await store.ok(["diff", "debian", "-o", ours!]);
    const extracted = await store.directory.mkdir("extracted");
    const { stderr } = await runOk("tar", ["-C", extracted, ...TAR, "-xpf", ours!]);
    assertEquals(stderr, "");
    await assertSameTree(extracted, DEBIAN_ROOTFS);
  });

  await test.step("the diff of the applied diff is the diff, to the byte", async () => {
    await store.ok(["apply", "copy", ours!]);
    await store.ok(["diff", "copy", "-o", again!]);
    await runOk("cmp", [ours!, again!]);
  });
});

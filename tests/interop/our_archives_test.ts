// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { packFile } from "../archive/_engine.ts";
import { beginsWithOneOf, buildRichTree, NEEDS_RICH_TREE } from "./_rich_tree.ts";
import { TAR_PROGRAMS } from "./_tar_tools.ts";

for (const program of TAR_PROGRAMS) {
  const needs = [needsRoot, ...NEEDS_RICH_TREE, ...program.needs];

  testNeeding(needs, `pack() writes what ${program.name} extracts to the same tree`, async () => {
    await using directory = await TempDir.make();
    const [tree, archive] = [directory.join("tree"), directory.join("archive")];
    await buildRichTree(tree);
    packFile(tree, archive);
    const theirs = await directory.mkdir("theirs");
    const { code, stderr } = await program.extract(archive, theirs);
    assertEquals([code, stderr], [0, ""]);
    const ignore = beginsWithOneOf(program.lossy);
    await assertSameTree(theirs, tree, { seen: program.seen, ignore, withoutRoot: true });
  });

  testNeeding(needs, `pack() writes what ${program.name} lists to the last entry, without a warning`, async () => {
    await using directory = await TempDir.make();
    const [tree, archive] = [directory.join("tree"), directory.join("archive")];
    await buildRichTree(tree);
    const { entries } = packFile(tree, archive);
    const { code, stdout, stderr } = await program.list(archive);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(stdout.trimEnd().split("\n").length, entries);
  });
}

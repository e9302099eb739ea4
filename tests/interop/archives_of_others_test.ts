// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { unpackFile } from "../archive/_engine.ts";
import { beginsWithOneOf, buildRichTree, NEEDS_RICH_TREE } from "./_rich_tree.ts";
import { TAR_FORMATS } from "./_tar_tools.ts";

for (const format of TAR_FORMATS) {
  const { program, refused, lossy } = format;
  const needs = [needsRoot, ...NEEDS_RICH_TREE, ...format.needs];

  testNeeding(needs, `unpack() makes of an archive by ${format.name} what ${program.name} makes of it`, async () => {
    await using directory = await TempDir.make();
    const [tree, archive, ours] = [directory.join("tree"), directory.join("archive"), directory.join("ours")];
    await buildRichTree(tree);
    const { code, stderr } = await format.create(tree, archive);
    assertEquals([code, stderr], [0, ""]);
    unpackFile(archive, ours);

    const theirs = await directory.mkdir("theirs");
    assertEquals((await program.extract(archive, theirs)).stderr, "");
    await assertSameTree(ours, theirs, {
      seen: program.seen,
      ignore: beginsWithOneOf(program.lossy),
      withoutRoot: true,
    });
    await assertSameTree(ours, tree, { seen: program.seen, ignore: beginsWithOneOf([...refused, ...lossy]) });
  });
}

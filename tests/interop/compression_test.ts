// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { StorageError } from "../../lib/errors.ts";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { unpackFile } from "../archive/_engine.ts";
import { buildRichTree, NEEDS_RICH_TREE } from "./_rich_tree.ts";

/** A shell command that makes of `tree.tar`, whose start and rest are `part1` and `part2`, the file `out`. */
interface Compressed {
  name: string;
  program: string;
  command: string;
}

/** A zstd frame that says nothing: its magic number, a length of 5, and 5 bytes. */
const SKIPPABLE = String.raw`printf '\x50\x2a\x4d\x18\x05\0\0\0hello'`;

const READ: readonly Compressed[] = [
  { name: "gzip -1", program: "gzip", command: "gzip -1 -c tree.tar >out" },
  { name: "gzip of two members", program: "gzip", command: "gzip -c part1 >out; gzip -c part2 >>out" },
  {
    name: "gzip with a name and an empty member",
    program: "gzip",
    command: "gzip -N -c tree.tar >out; : | gzip >>out",
  },
  { name: "pigz", program: "pigz", command: "pigz -p 2 -b 128 -c tree.tar >out" },
  { name: "pigz -i, in independent blocks", program: "pigz", command: "pigz -p 2 -i -c tree.tar >out" },
  { name: "Python's gzip", program: "python3", command: "python3 -m gzip tree.tar && mv tree.tar.gz out" },
  { name: "zstd -10", program: "zstd", command: "zstd -q -10 -c tree.tar >out" },
  {
    name: "zstd of several threads, without a checksum",
    program: "zstd",
    command: "zstd -q -T2 --no-check -c tree.tar >out",
  },
  { name: "zstd that does not say the size", program: "zstd", command: "cat tree.tar | zstd -q -c >out" },
  { name: "zstd of two frames", program: "zstd", command: "zstd -q -c part1 >out; zstd -q -c part2 >>out" },
  {
    name: "zstd with frames to skip at the start, between and at the end",
    program: "zstd",
    command: `{ ${SKIPPABLE}; zstd -q -c part1; ${SKIPPABLE}; zstd -q -c part2; ${SKIPPABLE}; } >out`,
  },
  { name: "zstd --long, a window of 128 MiB", program: "zstd", command: "cat tree.tar | zstd -q --long=27 -c >out" },
];

for (const { name, program, command } of READ) {
  const needs = [needsRoot, ...NEEDS_RICH_TREE, needsProgram("tar"), needsProgram(program)];
  testNeeding(needs, `unpack() reads a whole tree from ${name}`, async () => {
    await using directory = await TempDir.make();
    await buildRichTree(directory.join("tree"));
    const script =
      `set -e; tar -C tree --format=pax --xattrs --xattrs-include='*' --exclude=./linked-special -cf tree.tar .
      head -c 100000 tree.tar >part1; tail -c +100001 tree.tar >part2; ${command}`;
    await runOk("bash", ["-c", script], { cwd: directory.path });
    unpackFile(directory.join("out"), directory.join("ours"));
    const ignore = (path: string): boolean => path === "linked-special";
    await assertSameTree(directory.join("ours"), directory.join("tree"), { ignore });
  });
}

for (const program of ["bzip2", "xz"]) {
  testNeeding([needsRoot, needsProgram(program)], `unpack() refuses ${program} by its name`, async () => {
    await using directory = await TempDir.make();
    await runOk("bash", ["-c", `tar -cf - -T /dev/null | ${program} -c >out`], { cwd: directory.path });
    const error = assertThrows(() => unpackFile(directory.join("out"), directory.join("ours")), StorageError);
    assertEquals(error.code, "not_supported");
    assertStringIncludes(error.message, program);
  });
}

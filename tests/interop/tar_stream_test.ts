// SPDX-License-Identifier: Apache-2.0

/** npm:tar-stream, the tar of most JavaScript programs, reads what lamina writes, and writes what lamina reads. */

import "../_helpers/warm_libc.ts";
import { Buffer } from "node:buffer";
// @ts-types="./_tar_stream.d.ts"
import { extract, type Header, pack } from "npm:tar-stream@3.1.7";
import { assertEquals } from "@std/assert";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree, readTree, type TreeEntry } from "../_helpers/tree.ts";
import { packFile, unpackFile } from "../archive/_engine.ts";
import { beginsWithOneOf, buildRichTree, NEEDS_RICH_TREE } from "./_rich_tree.ts";

const NEEDS = [needsRoot, ...NEEDS_RICH_TREE];
const TYPES: Readonly<Record<string, string>> = {
  f: "file",
  d: "directory",
  l: "symlink",
  c: "character-device",
  b: "block-device",
  p: "fifo",
};

interface ReadEntry {
  header: Header;
  content: Uint8Array;
}

async function readEntries(archive: string): Promise<ReadEntry[]> {
  const reader = extract();
  reader.end(await Deno.readFile(archive));
  const entries: ReadEntry[] = [];
  for await (const entry of reader) {
    entries.push({ header: entry.header, content: Buffer.concat(await Array.fromAsync(entry)) });
  }
  return entries;
}

/** tar-stream gives names as text. */
function text(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString("utf8");
}

function headerOf(entry: TreeEntry): string {
  const isLink = entry.linkOf !== "" && entry.linkOf !== entry.path;
  const { path, type, mode, uid, gid } = entry;
  const name = path === "." ? "./" : text(path) + (type === "d" ? "/" : "");
  const target = text(isLink ? entry.linkOf : entry.target);
  return [name, isLink ? "link" : TYPES[type], mode, uid, gid, target].join(" ");
}

/** It takes owners from the header alone, which has no room for these. */
const isLarge = beginsWithOneOf(["large-owners"]);

testNeeding(NEEDS, "tar-stream reads in pack()'s archive each name, type, mode, owner and link", async () => {
  await using directory = await TempDir.make();
  const [tree, archive] = [directory.join("tree"), directory.join("archive")];
  await buildRichTree(tree);
  packFile(tree, archive);
  const entries = await readEntries(archive);
  const found = entries.filter(({ header }) => !isLarge(header.name)).map(({ header }) =>
    [header.name, header.type, header.mode.toString(8), header.uid, header.gid, header.linkname ?? ""].join(" ")
  );
  assertEquals(found.sort(), (await readTree(tree, { ignore: isLarge })).map(headerOf).sort());
});

/** To it all text is UTF-8, attributes too; times have 32 bits, ids and devices 18, and a mode of 0 is none. */
const BYTES = ["byte-names", "xattrs", "capabilities", "acls"];
const NUMBERS = ["times", "late-times", "negative-times", "large-owners", "large-devices", "modes"];
const isLost = beginsWithOneOf([...BYTES, ...NUMBERS]);

testNeeding(NEEDS, "unpack() makes the same tree of what tar-stream read and wrote again", async () => {
  await using directory = await TempDir.make();
  const [tree, archive, copy] = [directory.join("tree"), directory.join("archive"), directory.join("copy")];
  await buildRichTree(tree);
  packFile(tree, archive);
  const writer = pack();
  for (const { header, content } of await readEntries(archive)) {
    if (!isLost(header.name)) writer.entry(header, content);
  }
  writer.finalize();
  await Deno.writeFile(copy, Buffer.concat(await Array.fromAsync(writer)));
  unpackFile(copy, directory.join("ours"));
  await assertSameTree(directory.join("ours"), tree, { ignore: isLost });
});

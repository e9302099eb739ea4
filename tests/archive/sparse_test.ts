// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { StorageError, type StorageErrorCode } from "../../lib/errors.ts";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { unpackFile } from "./_engine.ts";
import { paxRecord, type TarItem, tarOf } from "./_tar_of.ts";

const NEEDS = [needsRoot, ...["tar", "bsdtar", "bash"].map(needsProgram)];

/** Files of 1 to 30 segments, 64 KiB apart, and the special cases of holes. */
const SPARSE_FILES = `
  set -e
  piece() { printf '%s' "$1:$2" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
  for count in 1 4 5 25 26 30; do
    for i in $(seq $count); do piece "segments-$count" $((i * 65536 + i)); done
  done
  truncate -s 1M only-a-hole; truncate -s 1 one-byte
  piece hole-at-the-end 0; truncate -s 1000001 hole-at-the-end
  piece hole-at-the-start 1000000
  piece "$(printf 'long-%.0s' $(seq 40))" 300000
  echo plain >plain; : >empty; mkdir dir; ln segments-5 dir/link
  find . -exec touch -d '2001-02-03 UTC' {} +
`;

const WRITERS: readonly string[] = [
  "tar --sparse --format=gnu",
  "tar --sparse --format=oldgnu",
  "tar --sparse --format=pax --sparse-version=0.0",
  "tar --sparse --format=pax --sparse-version=0.1",
  "tar --sparse --format=pax --sparse-version=1.0",
  "tar --sparse --format=gnu --hole-detection=raw",
  "bsdtar --format=pax",
];

/** Blocks of 512 bytes on disk, by name. */
async function blocks(directory: string): Promise<Map<string, number>> {
  const { stdout } = await runOk("find", [".", "-type", "f", "-printf", "%p %b\n"], { cwd: directory });
  return new Map(stdout.trimEnd().split("\n").map((line) => line.split(" ")).map(([name, n]) => [name!, Number(n)]));
}

async function makeTree(directory: TempDir, script: string): Promise<string> {
  const tree = await directory.mkdir("tree");
  await runOk("bash", ["-c", script], { cwd: tree });
  return tree;
}

async function write(writer: string, tree: string, archive: string): Promise<void> {
  const [program, ...args] = writer.split(" ");
  await runOk(program!, [...args, "-C", tree, "-cf", archive, "."]);
}

for (const writer of WRITERS) {
  testNeeding(NEEDS, `unpack() makes of ${writer} what GNU tar does, holes included`, async () => {
    await using directory = await TempDir.make();
    const tree = await makeTree(directory, SPARSE_FILES);
    await write(writer, tree, directory.join("a.tar"));
    const { sizeBytes } = unpackFile(directory.join("a.tar"), directory.join("ours"));
    const theirs = await directory.mkdir("theirs");
    await runOk("tar", ["-C", theirs, "-xpf", directory.join("a.tar"), "--same-owner", "--numeric-owner"]);
    await assertSameTree(directory.join("ours"), tree);
    // GNU tar's directory has a time of its own where it has to make a link in it late.
    await assertSameTree(directory.join("ours"), theirs, { ignore: (path) => path === "dir" });
    const [ourBlocks, theirBlocks] = await Promise.all([blocks(directory.join("ours")), blocks(theirs)]);
    // The list of a file's extents may take a block of its own, if the file system found no better place for them.
    for (const [name, count] of theirBlocks) assert(ourBlocks.get(name)! <= count + 8, `${name} has more blocks`);
    assertEquals(ourBlocks.get("./only-a-hole"), 0);
    assert(ourBlocks.get("./segments-30")! < 30 * 16);
    assert(sizeBytes > 5_000_000, "sizes are those of the files, holes included");
  });

  testNeeding(NEEDS, `unpack() of ${writer} keeps 5 GiB of hole`, async () => {
    await using directory = await TempDir.make();
    const tree = await makeTree(directory, "truncate -s 5G big; echo end >>big; truncate -s 9G bigger");
    await write(writer.replace(" --hole-detection=raw", ""), tree, directory.join("a.tar"));
    unpackFile(directory.join("a.tar"), directory.join("ours"));
    const { stdout } = await runOk("tail", ["-c", "6", "big"], { cwd: directory.join("ours") });
    assertEquals(stdout, "\0\0end\n");
    assertEquals((await Deno.stat(directory.join("ours", "big"))).size, 5 * 2 ** 30 + 4);
    assertEquals((await Deno.stat(directory.join("ours", "bigger"))).size, 9 * 2 ** 30);
    const counts = await blocks(directory.join("ours"));
    assert(counts.get("./big")! <= 16 && counts.get("./bigger") === 0);
  });
}

type Segment = readonly [offset: number, length: number];

function octal(value: number, length = 12): string {
  return value.toString(8).padStart(length - 1, "0") + " ";
}

function slots(segments: readonly Segment[]): string {
  return segments.map(([offset, length]) => octal(offset) + octal(length)).join("");
}

function continuation(segments: readonly Segment[], hasMore = false): string {
  return slots(segments).padEnd(504, "\0") + (hasMore ? "\x01" : "\0") + "\0".repeat(7);
}

/** An old GNU header; `data` are continuations and bytes, of which `stored` are bytes. */
function gnu(segments: readonly Segment[], realSize: number, data: string, stored = data.length): TarItem {
  const more = data.length > stored ? "\x01" : "\0";
  const raw = { 386: slots(segments), 482: more, 483: octal(realSize) };
  return { path: "f", type: "S", magic: "ustar  \0", data, size: stored, raw };
}

const STAR_TIMES = { 476: octal(1000), 488: octal(1000), 508: "tar\0" };

/** star's header, whose size counts the continuations. */
function star(segments: readonly Segment[], realSize: number, data: string, hasMore = false): TarItem {
  const raw = { ...STAR_TIMES, 355: hasMore ? "\x01" : "\0", 356: slots(segments), 452: octal(realSize) };
  return { path: "f", type: "S", data, raw };
}

function pax(records: Record<string, string>, data: string): TarItem {
  return { path: "f", data, pax: Object.fromEntries(Object.entries(records).map(([k, v]) => [`GNU.sparse.${k}`, v])) };
}

const VERSION_1 = { major: "1", minor: "0", name: "f" };

function inData(map: string, data: string, realSize: number): TarItem {
  const padded = map.padEnd(Math.ceil(map.length / 512) * 512, "\0");
  return pax({ ...VERSION_1, realsize: String(realSize) }, padded + data);
}

/** A block of each letter. */
function blocksOf(letters: string): string {
  return [...letters].map((letter) => letter.repeat(512)).join("");
}

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const HOLE = "\0".repeat(512);
/** Every other block is a hole, the last one as well, which has a slot of its own. */
function everyOther(count: number): Segment[] {
  return [...Array.from({ length: count }, (_, i): Segment => [1024 * i, 512]), [1024 * count, 0]];
}
function contentOf(letters: string): string {
  return [...letters].map((letter) => blocksOf(letter) + HOLE).join("");
}

const DATA = blocksOf("ab") + "end";
const CONTENT = HOLE + blocksOf("ab") + HOLE + "end";
const SEGMENTS: readonly Segment[] = [[512, 1024], [2048, 3]];
const MAP = SEGMENTS.join();
const LINES = `2\n${SEGMENTS.flat().join("\n")}\n`;

const READ: readonly [name: string, item: TarItem, content: string][] = [
  ["an old GNU header", gnu(SEGMENTS, 2051, DATA), CONTENT],
  ["an old GNU header with a hole at its end", gnu(everyOther(3), 3072, blocksOf("abc")), contentOf("abc")],
  [
    "an old GNU header with two continuations",
    gnu(
      everyOther(26).slice(0, 4),
      26 * 1024,
      continuation(everyOther(26).slice(4, 25), true) + continuation(everyOther(26).slice(25)) + blocksOf(LETTERS),
      26 * 512,
    ),
    contentOf(LETTERS),
  ],
  ["star's header", star(SEGMENTS, 2051, DATA), CONTENT],
  [
    "star's header with two continuations",
    star(
      everyOther(26).slice(0, 4),
      26 * 1024,
      continuation(everyOther(26).slice(4, 25), true) + continuation(everyOther(26).slice(25)) + blocksOf(LETTERS),
      true,
    ),
    contentOf(LETTERS),
  ],
  ["star's header with all slots in continuations", {
    ...star([], 2051, continuation(SEGMENTS) + DATA),
  }, CONTENT],
  ["pax 0.1", pax({ size: "2051", numblocks: "2", map: MAP, name: "f" }, DATA), CONTENT],
  ["pax 1.0", inData(LINES, DATA, 2051), CONTENT],
  [
    "pax 1.0 with a map of several blocks",
    inData(`105\n${everyOther(104).flat().join("\n")}\n`, blocksOf(LETTERS.repeat(4)), 104 * 1024),
    contentOf(LETTERS.repeat(4)),
  ],
];

/** What GNU tar refuses, or reads otherwise: it takes a slot with the file's size for the end, and whole blocks. */
const READ_MORE: readonly [name: string, item: TarItem, content: string][] = [
  ["star's header with a long name, which leaves no room for a size", {
    path: "f",
    type: "S",
    data: continuation(SEGMENTS) + DATA,
    pax: { "SCHILY.realsize": "2051", path: "f" },
    prefix: "dir/".repeat(30) + "x",
    raw: STAR_TIMES,
  }, CONTENT],
  ["pax 0.1 of a contiguous file", { ...pax({ size: "2051", map: MAP }, DATA), type: "7" }, CONTENT],
  ["pax 0.1 of a file as v7 marks it", { ...pax({ size: "2051", map: MAP }, DATA), type: "\0" }, CONTENT],
  ["pax 0.1 with an empty map", pax({ size: "10", map: "", name: "f" }, ""), "\0".repeat(10)],
  ["pax 1.0 with an empty map", inData("0\n", "", 10), "\0".repeat(10)],
  ["a hole at the end that has no segment", inData("1\n2\n4\n", "abcd", 10), "\0\0abcd\0\0\0\0"],
  ["segments that touch", inData("2\n2\n2\n4\n2\n", "abcd", 10), "\0\0abcd\0\0\0\0"],
  ["segments of single bytes", inData("3\n1\n1\n3\n1\n5\n1\n", "abc", 7), "\0a\0b\0c\0"],
  ["a file without holes that says its real size", { path: "f", data: "abc", pax: { "SCHILY.realsize": "3" } }, "abc"],
];

for (const [name, item, content] of [...READ, ...READ_MORE]) {
  testNeeding([needsRoot], `unpack() reads ${name}, and what follows`, async () => {
    await using directory = await TempDir.make();
    await Deno.writeFile(directory.join("a.tar"), tarOf([item, { path: "next", data: "next" }]));
    unpackFile(directory.join("a.tar"), directory.join("ours"));
    assertEquals(await Deno.readTextFile(directory.join("ours", "f")), content);
    assertEquals(await Deno.readTextFile(directory.join("ours", "next")), "next");
  });
}

for (const [name, item, content] of READ) {
  testNeeding([needsProgram("tar")], `GNU tar reads ${name} the same way`, async () => {
    await using directory = await TempDir.make();
    await Deno.writeFile(directory.join("a.tar"), tarOf([item, { path: "next", data: "next" }]));
    await runOk("tar", ["-C", directory.path, "-xf", directory.join("a.tar")]);
    assertEquals(await Deno.readTextFile(directory.join("f")), content);
    assertEquals(await Deno.readTextFile(directory.join("next")), "next");
  });
}

const HUGE = "9007199254740991";
const ENDLESS = continuation(Array.from({ length: 21 }, () => [0, 0] as const), true).repeat(48_000);

const REFUSED: readonly [name: string, item: TarItem, code: StorageErrorCode, says: string][] = [
  ["overlapping segments", gnu([[0, 3], [2, 3]], 10, "abcdef"), "invalid_archive", "overlaps"],
  ["segments out of order", gnu([[5, 3], [0, 3]], 10, "abcdef"), "invalid_archive", "segment 2"],
  ["a segment beyond the file", gnu([[8, 3]], 10, "abc"), "invalid_archive", "10 bytes"],
  [
    "more data than the map has",
    gnu([[0, 3]], 10, "abcdef"),
    "invalid_archive",
    "about 3 bytes, but the archive stores 6",
  ],
  ["less data than the map has", gnu([[0, 6]], 10, "abc"), "invalid_archive", "stores 3"],
  [
    "slots of letters",
    { ...gnu([], 10, ""), raw: { 386: "x".repeat(24), 483: octal(10) } },
    "invalid_archive",
    "segment 1",
  ],
  [
    "a real size of letters",
    { ...gnu([], 10, ""), raw: { 483: "x".repeat(12) } },
    "invalid_archive",
    "size is missing",
  ],
  [
    "a continuation behind the last slot",
    gnu([[0, 3]], 10, continuation([[4, 1]]) + "abcd", 4),
    "invalid_archive",
    "behind its end",
  ],
  [
    "a million empty segments",
    gnu(Array.from({ length: 4 }, () => [0, 0] as const), 10, ENDLESS, 0),
    "invalid_archive",
    "limit",
  ],
  [
    "star without a size",
    { path: "f", type: "S", prefix: "d", data: continuation([]), raw: STAR_TIMES },
    "invalid_archive",
    "size is missing",
  ],
  [
    "star whose size leaves the continuation out",
    { ...star([], 10, continuation([[2, 4]]) + "abcd", true), size: 4 },
    "invalid_archive",
    "map",
  ],
  ["'S' in a plain ustar header", { path: "f", type: "S", data: "abc" }, "not_supported", "neither"],
  ["'S' in a v7 header", { path: "f", type: "S", data: "abc", magic: "\0".repeat(8) }, "not_supported", "neither"],
  ["two maps", { ...gnu([[0, 1]], 1, "a"), pax: { "GNU.sparse.size": "1" } }, "invalid_archive", "two maps"],
  ["pax overlap", pax({ size: "10", map: "0,3,2,3" }, "abcdef"), "invalid_archive", "overlaps"],
  ["pax numbers that overflow", pax({ size: HUGE, map: `1,${HUGE}` }, ""), "invalid_archive", "segment 1"],
  ["pax numbers past 2^53", pax({ size: "99999999999999999999", map: "" }, ""), "invalid_archive", "no number"],
  ["a negative pax offset", pax({ size: "10", map: "-1,3" }, "abc"), "invalid_archive", "no number"],
  ["half a segment", pax({ size: "10", map: "0,3,5" }, "abc"), "invalid_archive", "should have"],
  [
    "fewer segments than announced",
    pax({ size: "10", numblocks: "2", map: "0,3" }, "abc"),
    "invalid_archive",
    "should have 2",
  ],
  ["no real size", pax({ map: "0,3" }, "abc"), "invalid_archive", "size is missing"],
  ["numbytes before offset", pax({ size: "3", numbytes: "3", offset: "0" }, "abc"), "invalid_archive", "take turns"],
  ["version 2.0", pax({ major: "2", minor: "0", realsize: "3" }, "abc"), "not_supported", "GNU 2.0"],
  ["version 0.7", pax({ major: "0", minor: "7", size: "3", map: "" }, ""), "not_supported", "GNU 0.7"],
  ["holes in a directory", { path: "f", type: "5", pax: { "GNU.sparse.map": "" } }, "invalid_archive", "is no file"],
  ["Solaris's holes", { path: "f", data: "abc", pax: { "SUN.holesdata": " 0 3" } }, "not_supported", "SUN.holesdata"],
  [
    "a real size without a map",
    { path: "f", data: "abc", pax: { "SCHILY.realsize": "9" } },
    "not_supported",
    "SCHILY.realsize",
  ],
  ["a map in the data of 100 million segments", inData("100000000\n", "", 10), "invalid_archive", "limit"],
  ["a map that does not end", inData("2\n0\n1\n", "a".repeat(512), 10), "invalid_archive", "map"],
  ["a map longer than the data", inData("100000\n" + "1\n0\n".repeat(100), "", 10), "invalid_archive", "map"],
  ["a map of letters", inData("one\n", "", 10), "invalid_archive", "numbers"],
  ["a map of empty lines", inData("\n\n\n", "", 10), "invalid_archive", "numbers"],
  ["a map with a number of 400 digits", inData("1".repeat(400) + "\n", "", 10), "invalid_archive", "numbers"],
  ["a map in data that are not there", pax({ ...VERSION_1, realsize: "10" }, ""), "invalid_archive", "does not end"],
  ["a file larger than any", inData("0\n", "", Number(HUGE)), "invalid_archive", HUGE],
];

for (const [name, item, code, says] of REFUSED) {
  testNeeding([needsRoot], `unpack() of ${name} is ${code}`, async () => {
    await using directory = await TempDir.make();
    await Deno.writeFile(directory.join("a.tar"), tarOf([item, { path: "next" }]));
    const limits = { sizeBytes: Number.MAX_SAFE_INTEGER };
    const error = assertThrows(
      () => unpackFile(directory.join("a.tar"), directory.join("ours"), { limits }),
      StorageError,
    );
    assertEquals(error.code, code, error.message);
    assertStringIncludes(error.message, says);
    if (!says.startsWith("no number") && !says.startsWith("take")) assertStringIncludes(error.message, 'f"');
  });
}

testNeeding([needsRoot], "unpack() of holes in a global header is invalid_archive", async () => {
  await using directory = await TempDir.make();
  const items = [{ path: "g", type: "g", data: paxRecord("GNU.sparse.map", "0,1") }, { path: "f", data: "a" }];
  await Deno.writeFile(directory.join("a.tar"), tarOf(items));
  const error = assertThrows(() => unpackFile(directory.join("a.tar"), directory.join("ours")), StorageError);
  assertEquals(error.code, "invalid_archive");
});

for (const [name, item] of READ.slice(1)) {
  testNeeding([needsRoot], `unpack() of ${name} cut at any byte is invalid_archive`, async () => {
    await using directory = await TempDir.make();
    const bytes = tarOf([item]);
    for (let length = 1; length < bytes.length; length += 101) {
      await Deno.writeFile(directory.join("a.tar"), bytes.subarray(0, length));
      const error = assertThrows(() => unpackFile(directory.join("a.tar"), directory.join("ours")), StorageError);
      assertEquals(error.code, "invalid_archive", `cut at ${length}: ${error.message}`);
    }
  });
}

// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { assertFails } from "../_helpers/assert_fails.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { unpackFile } from "../archive/_engine.ts";
import { base256, type TarItem, tarOf } from "../archive/_tar_of.ts";

const UID = 108;
const GID = 116;
const SIZE = 124;
const MAJOR = 329;
const MINOR = 337;

/** Numbers that would become others, mostly 0, if they lost their upper bits. */
const REFUSED: readonly [name: string, item: TarItem][] = [
  ["uid -1 of chown(2)", { path: "f", pax: { uid: "4294967295" } }],
  ["gid -1 of chown(2)", { path: "f", pax: { gid: "4294967295" } }],
  ["uid 2^32 in a pax record", { path: "f", pax: { uid: "4294967296" } }],
  ["uid 2^32 in base 256", { path: "f", raw: { [UID]: base256(1n << 32n, 8) } }],
  ["gid 2^32 in base 256", { path: "d/", type: "5", raw: { [GID]: base256(1n << 32n, 8) } }],
  ["negative uid", { path: "f", raw: { [UID]: base256(-2n, 8) } }],
  ["negative size", { path: "f", raw: { [SIZE]: base256(-512n, 12) } }],
  ["size 2^64", { path: "f", raw: { [SIZE]: base256(1n << 64n, 12) } }],
  ["size with a sign", { path: "f", pax: { size: "-1" } }],
  ["device 2^32:0", { path: "hidden", type: "3", raw: { [MAJOR]: base256(1n << 32n, 8) } }],
  ["device 0:2^32", { path: "hidden", type: "3", raw: { [MINOR]: base256(1n << 32n, 8) } }],
  ["device -2^32:0", { path: "hidden", type: "3", raw: { [MAJOR]: base256(-(1n << 32n), 8) } }],
  ["device 4096:0, one more than Linux has", { path: "hidden", type: "3", major: 4096 }],
  ["device 0:1048576, one more than Linux has", { path: "hidden", type: "3", minor: 1048576 }],
];

for (const [name, item] of REFUSED) {
  testNeeding([needsRoot], `unpack() of ${name} is invalid_archive and makes nothing`, async () => {
    await using directory = await TempDir.make();
    await Deno.writeFile(directory.join("a.tar"), tarOf([item]));
    const root = await directory.mkdir("root");
    // deno-lint-ignore require-await -- so that a throw is a rejection
    await assertFails((async (): Promise<unknown> => unpackFile(directory.join("a.tar"), root))(), "invalid_archive");
    assertEquals(await namesIn(root), []);
  });
}

const TAKEN: readonly [name: string, item: TarItem, format: string, said: string][] = [
  [
    "the largest uid and gid",
    { path: "x", pax: { uid: "4294967294", gid: "4294967294" } },
    "%u:%g",
    "4294967294:4294967294",
  ],
  ["the largest device", { path: "x", type: "3", major: 4095, minor: 1048575 }, "%t:%T", "fff:fffff"],
  ["a block device 0:0", { path: "x", type: "4" }, "%F %t:%T", "block special file 0:0"],
  ["base 256 for a small number", { path: "x", raw: { [UID]: base256(7n, 8), [GID]: base256(8n, 8) } }, "%u:%g", "7:8"],
];

for (const [name, item, format, said] of TAKEN) {
  testNeeding([needsRoot], `unpack() takes ${name}`, async () => {
    await using directory = await TempDir.make();
    await Deno.writeFile(directory.join("a.tar"), tarOf([item]));
    unpackFile(directory.join("a.tar"), directory.join("root"));
    assertEquals((await runOk("stat", ["-c", format, directory.join("root", "x")])).stdout.trim(), said);
  });
}

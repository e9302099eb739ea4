// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { StorageError } from "../../lib/errors.ts";
import type { ArchiveLimits } from "../../lib/archive/limits.ts";
import { unpackFile } from "./_engine.ts";
import { tarOf } from "./_tar_of.ts";

const ARCHIVE = tarOf([
  { path: "a", data: "12345", pax: { "SCHILY.xattr.user.a": "0123456789" } },
  { path: "directory/b", data: "12345" },
]);

const EXACT: ArchiveLimits = {
  // With the directory, of which no entry tells.
  entries: 3,
  bytes: ARCHIVE.length,
  sizeBytes: 10,
  pathLength: 11,
  depth: 1,
  xattrBytes: 16,
};

testNeeding([needsRoot], "unpack() takes an archive that is exactly at its limits", async () => {
  await using directory = await TempDir.make();
  await Deno.writeFile(directory.join("a.tar"), ARCHIVE);
  assertEquals(unpackFile(directory.join("a.tar"), directory.join("tree"), { limits: EXACT }).entries, 2);
});

for (const name of ["entries", "bytes", "sizeBytes", "pathLength", "xattrBytes"] as const) {
  testNeeding([needsRoot], `unpack() refuses an archive beyond its limit "${name}", and names it`, async () => {
    await using directory = await TempDir.make();
    await Deno.writeFile(directory.join("a.tar"), ARCHIVE);
    // What follows the last entry is read, and counted, in blocks.
    const limits = { ...EXACT, [name]: name === "bytes" ? 2048 : EXACT[name] - 1 };
    const unpack = () => unpackFile(directory.join("a.tar"), directory.join("tree"), { limits });
    const error = assertThrows(unpack, StorageError);
    assertEquals(error.code, "limit_exceeded");
    assertStringIncludes(error.hint!, `--limit ${name}=`);
  });
}

testNeeding([needsRoot], "unpack() refuses devices where it is told to, and takes a FIFO", async () => {
  await using directory = await TempDir.make();
  await Deno.writeFile(
    directory.join("a.tar"),
    tarOf([{ path: "p", type: "6" }, { path: "n", type: "3", major: 1, minor: 3 }]),
  );
  const unpack = () => unpackFile(directory.join("a.tar"), directory.join("tree"), { devices: "refuse" });
  assertEquals(assertThrows(unpack, StorageError).code, "permission_denied");
  assertEquals((await Deno.lstat(directory.join("tree", "p"))).isFifo, true);
});

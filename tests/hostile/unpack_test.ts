// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { StorageError, type StorageErrorCode } from "../../lib/errors.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { unpackFile } from "../archive/_engine.ts";
import { gnuLong, tarBody, type TarItem, tarOf } from "../archive/_tar_of.ts";

interface HostileCase {
  name: string;
  items: (outside: string) => readonly TarItem[];
  /** The code it must fail with; undefined if it may go well, inside. */
  code: StorageErrorCode | undefined;
  /** A file that must then be inside. */
  inside?: string;
}

const LONG = "d".repeat(200) + "/";

const CASES: readonly HostileCase[] = [
  { name: "a name with ..", items: () => [{ path: "../outside/new", data: "x" }], code: "unsafe_path" },
  {
    name: "a name with .. in the middle",
    items: () => [{ path: "a/../../outside/new", data: "x" }],
    code: "unsafe_path",
  },
  { name: "an absolute name", items: (outside) => [{ path: `${outside}/new`, data: "x" }], code: undefined },
  {
    name: "an absolute symbolic link and a file through it",
    items: (outside) => [{ path: "link", type: "2", link: outside }, { path: "link/new", data: "x" }],
    code: "invalid_archive",
  },
  {
    name: "a relative symbolic link and a file through it",
    items: () => [{ path: "link", type: "2", link: "../outside" }, { path: "link/new", data: "x" }],
    code: "invalid_archive",
  },
  {
    name: "a symbolic link to a directory that is there as well inside",
    items: (outside) => [
      { path: `${outside}/`, type: "5", mode: 0o755 },
      { path: "link", type: "2", link: outside },
      { path: "link/new", data: "x" },
    ],
    code: undefined,
  },
  {
    name: "a chain of symbolic links that climbs",
    items: () => [
      { path: "a/b/", type: "5", mode: 0o755 },
      { path: "a/b/up", type: "2", link: ".." },
      { path: "a/b/up2", type: "2", link: "up/.." },
      { path: "a/b/up3", type: "2", link: "up2/../outside" },
      { path: "a/b/up3/new", data: "x" },
    ],
    code: "invalid_archive",
  },
  {
    name: "a hard link to a name with ..",
    items: () => [{ path: "link", type: "1", link: "../outside/secret" }],
    code: "unsafe_path",
  },
  {
    name: "a hard link to an absolute name",
    items: (outside) => [{ path: "link", type: "1", link: `${outside}/secret` }],
    code: "invalid_archive",
  },
  {
    name: "a hard link to a symbolic link, overwritten",
    items: (outside) => [
      { path: "link", type: "2", link: `${outside}/secret` },
      { path: "hard", type: "1", link: "link" },
      { path: "hard", data: "overwritten" },
    ],
    code: undefined,
    inside: "hard",
  },
  {
    name: "a symbolic link that a file of the same name replaces",
    items: (outside) => [{ path: "f", type: "2", link: `${outside}/secret` }, { path: "f", data: "inside" }],
    code: undefined,
    inside: "f",
  },
  {
    name: "a symbolic link that a directory of the same name replaces",
    items: (outside) => [
      { path: "d", type: "2", link: outside },
      { path: "d/", type: "5", mode: 0o755 },
      { path: "d/new", data: "x" },
    ],
    code: undefined,
    inside: "d/new",
  },
  {
    name: "a directory that a symbolic link of the same name replaces",
    items: (outside) => [
      { path: "d/", type: "5", mode: 0o755 },
      { path: "d/x", data: "x" },
      { path: "d", type: "2", link: outside },
      { path: "d/new", data: "x" },
    ],
    code: "invalid_archive",
  },
  {
    name: "a mode for a symbolic link that leads out",
    items: (outside) => [{ path: "l", type: "2", link: `${outside}/secret`, mode: 0o777, mtime: 1 }],
    code: undefined,
  },
  { name: "a whiteout with ..", items: () => [{ path: "../outside/.wh.secret" }], code: "unsafe_path" },
  {
    name: "a whiteout through a symbolic link",
    items: () => [{ path: "l", type: "2", link: "../outside" }, { path: "l/.wh.secret" }],
    code: "invalid_archive",
  },
  { name: "a whiteout of ..", items: () => [{ path: "a/.wh..." }], code: "invalid_archive" },
  { name: "a whiteout of nothing", items: () => [{ path: "a/.wh." }], code: "invalid_archive" },
  {
    name: "a root that is a symbolic link",
    items: () => [{ path: "./", type: "2", link: "/" }],
    code: "invalid_archive",
  },
  { name: "a device 0:0", items: () => [{ path: "gone", type: "3" }], code: "invalid_archive" },
  { name: "an unknown type", items: () => [{ path: "x", type: "Z" }], code: "invalid_archive" },
  { name: "an empty name", items: () => [{ path: "" }], code: "invalid_archive" },
  { name: "NUL in a pax path", items: () => [{ path: "x", pax: { path: "a\0b" } }], code: "invalid_archive" },
  {
    name: "a component of 256 bytes",
    items: () => [gnuLong("L", "n".repeat(256)), { path: "n" }],
    code: "invalid_archive",
  },
  {
    name: "a path of 6000 bytes",
    items: () => [gnuLong("L", LONG.repeat(30) + "leaf"), { path: "n", data: "x" }],
    code: "limit_exceeded",
  },
  {
    name: "a hard link to a directory",
    items: () => [{ path: "d/", type: "5" }, { path: "l", type: "1", link: "d" }],
    code: "invalid_archive",
  },
  { name: "a hard link to the root", items: () => [{ path: "l", type: "1", link: "/" }], code: "invalid_archive" },
];

for (const { name, items, code, inside } of CASES) {
  testNeeding([needsRoot], `unpack() of ${name} ${code === undefined ? "stays inside" : `is ${code}`}`, async () => {
    await using directory = await TempDir.make();
    const outside = await directory.mkdir("outside");
    await Deno.writeTextFile(`${outside}/secret`, "the host's");
    await Deno.chmod(`${outside}/secret`, 0o600);
    await Deno.utime(`${outside}/secret`, 1000, 1000);
    const before = await Deno.lstat(`${outside}/secret`);
    await Deno.writeFile(directory.join("a.tar"), tarOf(items(outside)));

    const error = failureOf(() => unpackFile(directory.join("a.tar"), directory.join("root")));

    assertEquals(error?.code, code, error?.message);
    assertEquals(await Deno.readTextFile(`${outside}/secret`), "the host's", "THE HOST'S FILE WAS CHANGED");
    const after = await Deno.lstat(`${outside}/secret`);
    assertEquals([after.mode, after.mtime, after.nlink], [before.mode, before.mtime, before.nlink]);
    assertEquals(await namesIn(outside), ["secret"], "SOMETHING WAS MADE OUTSIDE");
    assertEquals(await namesIn(directory.path), ["a.tar", "outside", "root"]);
    if (inside !== undefined) assert((await Deno.lstat(directory.join("root", inside))).isFile);
  });
}

function failureOf(action: () => unknown): StorageError | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    assertInstanceOf(error, StorageError);
    return error;
  }
}

const FULL = tarOf([{ path: "a", data: "x".repeat(700) }, { path: "b", pax: { mtime: "1.5" }, data: "y" }]);

testNeeding([needsRoot], "unpack() of an archive cut anywhere is invalid_archive", async () => {
  await using directory = await TempDir.make();
  for (let length = 0; length < FULL.length; length += 101) {
    await Deno.writeFile(directory.join("a.tar"), FULL.subarray(0, length));
    const error = failureOf(() => unpackFile(directory.join("a.tar"), directory.join(`root-${length}`)));
    assertEquals(error?.code, "invalid_archive", `cut at ${length}`);
  }
});

const DAMAGED: readonly [name: string, bytes: Uint8Array<ArrayBuffer>][] = [
  ["no tar", new TextEncoder().encode("#!/bin/sh\n".repeat(200)) as Uint8Array<ArrayBuffer>],
  ["a wrong checksum", tarOf([{ path: "a", checksum: "0000001\0" }])],
  ["a size that is no number", tarOf([{ path: "a", size: NaN }])],
  ["a pax record that lies about its length", tarOf([{ path: "x", type: "x", data: "99 path=a\n" }, { path: "a" }])],
  ["a pax header of 2 MiB", tarOf([{ path: "a", pax: { comment: "x".repeat(2 << 20) } }])],
  ["a size beyond all numbers", tarOf([{ path: "a", pax: { size: "99999999999999999999" } }])],
  ["a size larger than the archive", tarOf([{ path: "a", size: 0o7777777777, data: "x" }])],
  ["only one zero block", new Uint8Array([...tarBody([{ path: "a" }]), ...new Uint8Array(512)])],
  ["a pax header at the end", tarOf([{ path: "x", type: "x", data: "11 path=abc\n".slice(0, 11) + "\n" }])],
];

for (const [name, bytes] of DAMAGED) {
  testNeeding([needsRoot], `unpack() of ${name} is invalid_archive`, async () => {
    await using directory = await TempDir.make();
    await Deno.writeFile(directory.join("a.tar"), bytes);
    assertEquals(failureOf(() => unpackFile(directory.join("a.tar"), directory.join("root")))?.code, "invalid_archive");
  });
}

testNeeding([needsRoot], "unpack() stays inside while another process swaps a directory for a link", async () => {
  await using directory = await TempDir.make();
  const outside = await directory.mkdir("outside");
  const root = await directory.mkdir("root");
  const items: TarItem[] = [];
  for (let i = 0; i < 4000; i++) items.push({ path: `d${i % 300}/sub/file${i}`, data: "x" });
  await Deno.writeFile(directory.join("a.tar"), tarOf(items));
  const script = `while :; do for i in $(seq 0 299); do [ -e ../go ] || exit 0
    mv d$i real$i && ln -s ../outside d$i; rm -f d$i; mv real$i d$i; done; done`;
  await Deno.writeTextFile(directory.join("go"), "");
  const swapper = new Deno.Command("bash", { args: ["-c", script], cwd: root, stderr: "null" }).spawn();
  try {
    const end = performance.now() + 2000;
    while (performance.now() < end) {
      // Names that vanish in its hands may make it fail; they must not make it leave.
      failureOf(() => unpackFile(directory.join("a.tar"), root));
      assertEquals(await namesIn(outside), [], "SOMETHING WAS MADE OUTSIDE");
    }
  } finally {
    // Ends by itself, between two swaps: killed, it would leave a mv at work in a directory that is being removed.
    await Deno.remove(directory.join("go"));
    await swapper.status;
  }
});

// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { namesIn } from "../_helpers/names_in.ts";
import { gnuLong } from "../archive/_tar_of.ts";
import { type HostileCase, testHostileCases } from "./_hostile_case.ts";

const PARTS = "d".repeat(255) + "/";

/** Names that are odd by themselves. */
const NAMES: readonly HostileCase[] = [
  { name: "the name ..", items: () => [{ path: "..", type: "5" }], code: "unsafe_path" },
  { name: "a name that ends in ..", items: () => [{ path: "a/b/..", type: "5" }], code: "unsafe_path" },
  { name: "a name of slashes", items: () => [{ path: "///", type: "5", mode: 0o700 }], code: undefined },
  {
    name: "a ustar prefix of ..",
    items: () => [{ path: "outside/new", prefix: "..", data: "x" }],
    code: "unsafe_path",
  },
  {
    name: "a GNU long name with ..",
    items: () => [gnuLong("L", "../outside/new"), { path: "x" }],
    code: "unsafe_path",
  },
  { name: "a pax path with ..", items: () => [{ path: "x", pax: { path: "../outside/new" } }], code: "unsafe_path" },
  {
    name: "a NUL in a header's name, which ends it there",
    items: () => [{ path: "a\0/../../outside/new", data: "x" }],
    code: undefined,
    check: async (root) => assertEquals(await namesIn(root), ["a"]),
  },
  {
    name: "a NUL in a GNU long name, which ends it there",
    items: () => [gnuLong("L", "a\0/../../outside/new"), { path: "x" }],
    code: undefined,
    check: async (root) => assertEquals(await namesIn(root), ["a"]),
  },
  { name: "a NUL in a pax path", items: () => [{ path: "x", pax: { path: "a\0b" } }], code: "invalid_archive" },
  {
    name: "a NUL in a pax linkpath",
    items: () => [{ path: "x", type: "2", pax: { linkpath: "a\0b" } }],
    code: "invalid_archive",
  },
  {
    name: "a NUL in the name of an attribute",
    items: () => [{ path: "x", pax: { "SCHILY.xattr.user.a\0b": "x" } }],
    code: "invalid_archive",
  },
  {
    name: "a name of 255 bytes",
    items: () => [gnuLong("L", "n".repeat(255)), { path: "n", data: "x" }],
    code: undefined,
    check: async (root) => assertEquals(await namesIn(root), ["n".repeat(255)]),
  },
  {
    name: "a name of 256 bytes",
    items: () => [gnuLong("L", "n".repeat(256)), { path: "n", data: "x" }],
    code: "invalid_archive",
    check: async (root) => assertEquals(await namesIn(root), []),
  },
  {
    name: "a directory with a name of 256 bytes",
    items: () => [gnuLong("L", "n".repeat(256) + "/x"), { path: "n", data: "x" }],
    code: "invalid_archive",
  },
  {
    name: "a path of 4095 bytes",
    items: () => [gnuLong("L", PARTS.repeat(15) + "n".repeat(255)), { path: "n", data: "x" }],
    code: undefined,
  },
  {
    name: "a path of 4096 bytes",
    items: () => [gnuLong("L", PARTS.repeat(15) + "/" + "n".repeat(255)), { path: "n", data: "x" }],
    code: undefined,
  },
  {
    name: "a path of 4097 bytes through a symbolic link",
    items: () => [
      { path: "l", type: "2", link: "." },
      gnuLong("L", "l/" + PARTS.repeat(15) + "n".repeat(255)),
      { path: "n", data: "x" },
    ],
    code: "limit_exceeded",
  },
  {
    name: "1000 directories in each other",
    items: () => [gnuLong("L", "d/".repeat(1000) + "f"), { path: "n", data: "x" }],
    code: undefined,
  },
  {
    name: "1001 directories in each other",
    items: () => [gnuLong("L", "d/".repeat(1001) + "f"), { path: "n", data: "x" }],
    code: "limit_exceeded",
  },
  {
    name: "a symbolic link to 4095 bytes",
    items: () => [gnuLong("K", "t".repeat(4095)), { path: "l", type: "2" }],
    code: undefined,
  },
  {
    name: "a symbolic link to 4096 bytes",
    items: () => [gnuLong("K", "t".repeat(4096)), { path: "l", type: "2" }],
    code: "invalid_archive",
  },
  { name: "a symbolic link to nothing", items: () => [{ path: "l", type: "2" }], code: "invalid_archive" },
  { name: "a hard link to nothing", items: () => [{ path: "l", type: "1" }], code: "invalid_archive" },
];

/** Entries that are about the root itself. */
const ROOTS: readonly HostileCase[] = [
  ...[["a file", "0"], ["a hard link", "1"], ["a symbolic link", "2"], ["a device", "3"], ["a fifo", "6"]].map(
    ([what, type]): HostileCase => ({
      name: `a root that is ${what}`,
      items: (outside) => [{ path: "./", type: type!, link: outside, major: 1, minor: 3 }],
      code: "invalid_archive",
      check: async (root) => assert((await Deno.lstat(root)).isDirectory),
    }),
  ),
  ...[".wh.", ".wh..", ".wh...", "./.wh..", "a/.wh...", "/.wh..", ".wh../", "a/.wh."].map((path): HostileCase => ({
    name: `the whiteout ${JSON.stringify(path)}`,
    items: () => [{ path: "keep", data: "x" }, { path: "a/keep", data: "x" }, { path }],
    code: "invalid_archive",
    check: async (root) => assertEquals([await namesIn(root), await namesIn(`${root}/a`)], [["a", "keep"], ["keep"]]),
  })),
  {
    name: "a whiteout with .. in its name",
    items: () => [{ path: ".wh.../outside/secret" }],
    code: "invalid_archive",
  },
  {
    name: "a root with times, mode, owner and attributes",
    items:
      () => [{ path: "./", type: "5", mode: 0o711, uid: 7, gid: 8, mtime: 5, pax: { "SCHILY.xattr.user.a": "b" } }],
    code: undefined,
    check: async (root) => {
      const { mode, uid, gid, mtime } = await Deno.lstat(root);
      assertEquals([mode! & 0o7777, uid, gid, mtime?.getTime()], [0o711, 7, 8, 5000]);
    },
  },
];

testHostileCases([...NAMES, ...ROOTS]);

// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { namesIn } from "../_helpers/names_in.ts";
import type { TarItem } from "../archive/_tar_of.ts";
import { type HostileCase, testHostileCases } from "./_hostile_case.ts";

const SECRET = "../outside/secret";
const OUTSIDE = "../outside";
const SYMLINK: TarItem = { path: "l", type: "2", link: OUTSIDE };
const CAPABILITY = "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const ACL = "\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x04\0\x05\0\xff\xff\xff\xff\x20\0\x05\0\xff\xff\xff\xff";
const NOTE = { "SCHILY.xattr.trusted.note": "hostile" };

/** What an archive can do to a symbolic link that leads to a file of the host. */
const THROUGH_A_LINK: readonly HostileCase[] = [
  { name: "an attribute of a symbolic link", items: () => [{ ...SYMLINK, pax: NOTE }], code: undefined },
  {
    name: "an attribute of a file below a symbolic link",
    items: () => [SYMLINK, { path: "l/secret", data: "x", pax: NOTE }],
    code: "invalid_archive",
  },
  {
    name: "a capability for a symbolic link to a file",
    items: () => [{ path: "l", type: "2", link: SECRET, pax: { "SCHILY.xattr.security.capability": CAPABILITY } }],
    code: undefined,
  },
  {
    name: "an owner and setuid for a symbolic link",
    items: () => [{ path: "l", type: "2", link: SECRET, mode: 0o6777, uid: 7, gid: 8 }],
    code: undefined,
    check: async (root) => assertEquals((await Deno.lstat(`${root}/l`)).uid, 7),
  },
  {
    name: "a directory below a symbolic link",
    items: () => [SYMLINK, { path: "l/inner/", type: "5", mode: 0o7777, uid: 7, mtime: 1 }],
    code: "invalid_archive",
  },
  { name: "a fifo below a symbolic link", items: () => [SYMLINK, { path: "l/p", type: "6" }], code: "invalid_archive" },
  {
    name: "a hard link below a symbolic link",
    items: () => [SYMLINK, { path: "f" }, { path: "l/new", type: "1", link: "f" }],
    code: "invalid_archive",
  },
  {
    name: "a hard link whose target lies behind a symbolic link",
    items: () => [SYMLINK, { path: "h", type: "1", link: "l/secret" }],
    code: "invalid_archive",
  },
  {
    name: "an opaque directory through a symbolic link",
    items: () => [SYMLINK, { path: "l/.wh..wh..opq" }],
    code: "invalid_archive",
  },
  {
    name: "a whiteout through a symbolic link that climbs",
    items: () => [{ path: "l", type: "2", link: "../../../.." }, { path: "l/.wh.etc" }],
    code: undefined,
    check: async (root) => assertEquals(await namesIn(root), ["etc", "l"]),
  },
  {
    name: "a whiteout of a symbolic link, then a file through it",
    items: () => [SYMLINK, { path: ".wh.l" }, { path: "l/new", data: "x" }],
    code: "invalid_archive",
  },
  {
    name: "a whiteout of a name, then a symbolic link of that name and a file through it",
    items: () => [{ path: ".wh.l" }, SYMLINK, { path: "l/new", data: "x" }],
    code: "invalid_archive",
  },
  {
    name: "a symbolic link to /proc/self/root and a file through it",
    items: () => [{ path: "l", type: "2", link: "/proc/self/root" }, { path: "l/new", data: "x" }],
    code: "invalid_archive",
  },
  {
    name: "a symbolic link to the root's parent, which is the root, and a file through it",
    items: () => [{ path: "l", type: "2", link: ".." }, { path: "l/new", data: "x" }],
    code: undefined,
    check: async (root) => assertEquals(await namesIn(root), ["l", "new"]),
  },
];

/** Directories get their modes and times at the end: what stands there then may be something else. */
const LATE: readonly HostileCase[] = [
  {
    name: "a directory that became a symbolic link before it gets its mode and times",
    items: () => [{ path: "l/", type: "5", mode: 0o7000, uid: 7, mtime: 1 }, SYMLINK],
    code: undefined,
  },
  {
    name: "a directory below one that became a symbolic link before it gets its mode and times",
    items: () => [{ path: "l/inner/", type: "5", mode: 0o7000, uid: 7, mtime: 1 }, SYMLINK],
    code: undefined,
  },
  {
    name: "a directory with a default ACL that became a symbolic link",
    items: () => [
      { path: "l/inner/", type: "5", pax: { "SCHILY.xattr.system.posix_acl_default": ACL } },
      SYMLINK,
    ],
    code: undefined,
  },
  {
    name: "a directory that a file replaces, and the other way round, and back",
    items: () => [
      { path: "d/", type: "5", mode: 0o755, mtime: 1 },
      { path: "d/f", data: "x" },
      { path: "d", data: "file" },
      { path: "d/", type: "5", mode: 0o700, mtime: 2 },
      { path: "d/g", data: "y" },
      { path: "d", data: "file", mode: 0o640 },
    ],
    code: undefined,
    check: async (root) => {
      const { isFile, mode } = await Deno.lstat(`${root}/d`);
      assertEquals([isFile, mode! & 0o777], [true, 0o640]);
    },
  },
];

const HARD_LINKS: readonly HostileCase[] = [
  {
    name: "a hard link to a symbolic link, with owner, mode, time and attributes",
    items: () => [
      { path: "l", type: "2", link: SECRET },
      { path: "h", type: "1", link: "l", mode: 0o6777, uid: 7, gid: 8, mtime: 1, pax: NOTE },
    ],
    code: undefined,
    check: async (root) => assert((await Deno.lstat(`${root}/h`)).isSymlink),
  },
  {
    name: "a hard link to a symbolic link to a directory, and a file through it",
    items: () => [SYMLINK, { path: "h", type: "1", link: "l" }, { path: "h/new", data: "x" }],
    code: "invalid_archive",
  },
  { name: "a hard link to itself", items: () => [{ path: "h", type: "1", link: "h" }], code: "invalid_archive" },
  {
    name: "a hard link to a later entry",
    items: () => [{ path: "h", type: "1", link: "f" }, { path: "f" }],
    code: "invalid_archive",
  },
  {
    name: "a hard link to what it replaces",
    items: () => [{ path: "d/f", data: "x" }, { path: "d", type: "1", link: "d/f" }],
    code: "invalid_archive",
  },
  {
    name: "a hard link to an absolute pax linkpath",
    items: (outside) => [{ path: "h", type: "1", pax: { linkpath: `${outside}/secret` } }],
    code: "invalid_archive",
  },
  {
    name: "a hard link to a path with .. in a GNU long link",
    items: () => [{ path: "d/", type: "5" }, { path: "h", type: "1", link: "d/../../outside/secret" }],
    code: "unsafe_path",
  },
];

const CYCLES: readonly HostileCase[] = [
  {
    name: "a symbolic link to itself and a file through it",
    items: () => [{ path: "l", type: "2", link: "l" }, { path: "l/new" }],
    code: "invalid_archive",
  },
  {
    name: "two symbolic links to each other and a file through them",
    items: () => [{ path: "a", type: "2", link: "b" }, { path: "b", type: "2", link: "a" }, { path: "a/new" }],
    code: "invalid_archive",
  },
  {
    name: "100 symbolic links one behind the other",
    items: () => [
      ...Array.from({ length: 100 }, (_, i): TarItem => ({ path: `l${i}`, type: "2", link: `l${i + 1}` })),
      { path: "l0/new" },
    ],
    code: "invalid_archive",
  },
  {
    name: "a symbolic link to the root, walked through 30 times",
    items: () => [{ path: "l", type: "2", link: "/" }, { path: "l/".repeat(30) + "new", data: "x" }],
    code: undefined,
    check: async (root) => assertEquals(await namesIn(root), ["l", "new"]),
  },
];

const BELOW = [["a file", "0"], ["a fifo", "6"], ["a character device", "3"], ["a block device", "4"]] as const;
const BELOW_NO_DIRECTORY = BELOW.map(([what, type]): HostileCase => ({
  name: `an entry below ${what}`,
  items: () => [{ path: "x", type, major: 1, minor: 3 }, { path: "x/new", data: "x" }],
  code: "invalid_archive",
}));

testHostileCases([...THROUGH_A_LINK, ...LATE, ...HARD_LINKS, ...CYCLES, ...BELOW_NO_DIRECTORY]);

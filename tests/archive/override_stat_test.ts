// SPDX-License-Identifier: Apache-2.0

/** Trees below a mask: owners, modes and devices in an attribute, as containers/storage and fuse-overlayfs have them. */

import "../_helpers/warm_libc.ts";
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { lgetxattr, llistxattr, lsetxattr } from "../../ffi/xattr.ts";
import { changes } from "../../lib/archive/changes.ts";
import { compare } from "../../lib/archive/compare.ts";
import { isStorageError, StorageError } from "../../lib/errors.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { packFile, unpackFile } from "./_engine.ts";
import { readArchive } from "./_read_archive.ts";
import { type TarItem, tarOf } from "./_tar_of.ts";

const ATTRIBUTE = "user.containers.override_stat";

const ITEMS: readonly TarItem[] = [
  { path: "./", type: "5", mode: 0o711, uid: 5, gid: 6, mtime: 1000 },
  { path: "dir/", type: "5", mode: 0o700, uid: 1, gid: 2, mtime: 1000 },
  { path: "dir/file", data: "content", mode: 0o4755, uid: 1000, gid: 1000, mtime: 1000 },
  { path: "dir/hard", type: "1", link: "dir/file", uid: 7, mode: 0o600 },
  { path: "large ids", mode: 0o4, uid: 0o7777777, gid: 0o7777777, mtime: 1000 },
  { path: "soft", type: "2", link: "dir", uid: 8, gid: 9, mtime: 1000 },
  { path: "null", type: "3", mode: 0o666, uid: 9, gid: 9, major: 1, minor: 3, mtime: 1000 },
  { path: "sda", type: "4", mode: 0o660, major: 8, minor: 0, mtime: 1000 },
  { path: "pipe", type: "6", mode: 0o622, uid: 10, gid: 11, mtime: 1000 },
];

function valueOf(path: string): string | undefined {
  const value = lgetxattr(path, ATTRIBUTE);
  return value && new TextDecoder().decode(value);
}

async function unpacked(
  directory: TempDir,
  name: string,
  items: readonly TarItem[],
  forceMask?: number,
): Promise<string> {
  await Deno.writeFile(directory.join(`${name}.tar`), tarOf(items));
  unpackFile(directory.join(`${name}.tar`), directory.join(name), { forceMask });
  return directory.join(name);
}

testNeeding([needsRoot], "below a mask files have its mode, and what they really are in an attribute", async () => {
  await using directory = await TempDir.make();
  const tree = await unpacked(directory, "masked", ITEMS, 0o700);
  const { stdout } = await runOk("find", [".", "-printf", "%P %y %m %U:%G\n"], { cwd: tree });
  assertEquals(stdout.split("\n").filter(Boolean).sort(), [
    " d 700 0:0",
    "dir d 700 0:0",
    "dir/file f 700 0:0",
    "dir/hard f 700 0:0",
    "large ids f 700 0:0",
    "null f 700 0:0",
    "pipe f 700 0:0",
    "sda f 700 0:0",
    "soft l 777 8:9",
  ]);
  const paths = [".", "dir", "dir/file", "large ids", "null", "sda", "pipe"];
  assertEquals(Object.fromEntries(paths.map((path) => [path, valueOf(`${tree}/${path}`)])), {
    ".": "5:6:0711:dir",
    "dir": "1:2:0700:dir",
    "dir/file": "1000:1000:4755:file",
    "large ids": "2097151:2097151:0004:file",
    "null": "9:9:0666:char-1-3",
    "sda": "0:0:0660:block-8-0",
    "pipe": "10:11:0622:pipe",
  });
  assertEquals(llistxattr(`${tree}/soft`), []);
  const implied = await unpacked(directory, "implied", [{ path: "not/told/of" }], 0o700);
  assertEquals(valueOf(`${implied}/not/told`), "0:0:0755:dir");
});

testNeeding([needsRoot], "a masked tree packs as the tree without a mask does, byte for byte", async () => {
  await using directory = await TempDir.make();
  const items = [...ITEMS, { path: "acl", mode: 0o640, pax: { "SCHILY.acl.access": ACL } }];
  const archives: Uint8Array[] = [];
  for (const [name, forceMask] of [["masked", 0o755], ["plain", undefined]] as const) {
    const tree = await unpacked(directory, name, items, forceMask);
    packFile(tree, directory.join(`${name}-again.tar`), { overrideStat: forceMask !== undefined });
    archives.push(await Deno.readFile(directory.join(`${name}-again.tar`)));
  }
  assertEquals(readArchive(archives[0]!), readArchive(archives[1]!));
  assertEquals(archives[0], archives[1]);
  unpackFile(directory.join("masked-again.tar"), directory.join("again"));
  await assertSameTree(directory.join("again"), directory.join("plain"));
});

const ACL = "user::rw-,user:1234:rwx,group::r--,mask::r--,other::---";

testNeeding([needsRoot], "without being told so, nobody believes the attribute", async () => {
  await using directory = await TempDir.make();
  const tree = await unpacked(directory, "plain", [{ path: "f", uid: 1000, mode: 0o644, mtime: 1000 }]);
  lsetxattr(`${tree}/f`, ATTRIBUTE, new TextEncoder().encode("0:0:4755:file"));
  packFile(tree, directory.join("again.tar"));
  const file = readArchive(await Deno.readFile(directory.join("again.tar"))).find(({ path }) => path === "f")!;
  assertEquals([file.uid, file.mode, file.xattrs], [1000, 0o644, {}]);
});

testNeeding([needsRoot], "the attribute is never taken from an archive, with a mask and without", async () => {
  await using directory = await TempDir.make();
  const item = { path: "f", uid: 1, mode: 0o600, pax: { [`SCHILY.xattr.${ATTRIBUTE}`]: "0:0:4755:file" } };
  assertEquals(valueOf(`${await unpacked(directory, "plain", [item])}/f`), undefined);
  assertEquals(valueOf(`${await unpacked(directory, "masked", [item], 0o755)}/f`), "1:0:0600:file");
});

testNeeding([needsRoot], "a hard link joins a masked file below with its real owner and mode", async () => {
  await using directory = await TempDir.make();
  const lower = await unpacked(directory, "lower", ITEMS, 0o755);
  await Deno.writeFile(
    directory.join("upper.tar"),
    tarOf([{ path: "second", type: "1", link: "dir/file" }, { path: "other-null", type: "1", link: "null" }]),
  );
  unpackFile(directory.join("upper.tar"), directory.join("upper"), { forceMask: 0o755, lowerDirs: [lower] });
  const upper = directory.join("upper");
  assertEquals(valueOf(`${upper}/second`), "1000:1000:4755:file");
  assertEquals(await Deno.readTextFile(`${upper}/second`), "content");
  assertEquals([valueOf(`${upper}/dir`), valueOf(`${upper}/other-null`)], ["1:2:0700:dir", "9:9:0666:char-1-3"]);
});

testNeeding([needsRoot], "masked trees are compared by what they really are", async () => {
  await using directory = await TempDir.make();
  const base = await unpacked(directory, "base", ITEMS, 0o755);
  const changed: TarItem[] = [
    { path: "dir/", type: "5", mode: 0o701, uid: 1, gid: 2, mtime: 1000 },
    { path: "dir/file", data: "content", mode: 0o4755, uid: 1001, gid: 1000, mtime: 1000 },
    { path: "null", type: "3", mode: 0o666, uid: 9, gid: 9, major: 1, minor: 5, mtime: 1000 },
    { path: "pipe", type: "6", mode: 0o622, uid: 10, gid: 11, mtime: 1000 },
  ];
  const upper = await unpacked(directory, "upper", changed, 0o755);
  const expected = ["/dir", "/dir/file", "/null"].map((path) => ({ path, kind: "modify" }));
  assertEquals(changes(upper, [base], { overrideStat: true }), expected as never);
  assertEquals(changes(upper, [base]), []);
  const whole = await unpacked(
    directory,
    "whole",
    [...ITEMS.filter(({ path }) => path !== "dir/hard"), ...changed],
    0o755,
  );
  await Deno.remove(`${base}/dir/hard`);
  using newer = open(whole);
  using older = open(base);
  assertEquals(compare(newer.fd, older.fd, { overrideStat: true }), expected as never);
});

testNeeding([needsRoot], "an attribute that is none is a damage that names its file", async () => {
  await using directory = await TempDir.make();
  const tree = await unpacked(directory, "masked", ITEMS, 0o755);
  for (const value of ["", "root", "1:2:8:file", "1:2:0644:char-0-0", "1:2:0644:door", "5000000000:0:0644:file"]) {
    lsetxattr(`${tree}/dir/file`, ATTRIBUTE, new TextEncoder().encode(value));
    const error = assertThrows(() => packFile(tree, directory.join("x.tar"), { overrideStat: true }), StorageError);
    assertEquals(isStorageError(error, "store_damaged"), true, value);
    assertMatch(error.message, /"dir\/file".*override_stat/);
  }
});

testNeeding([needsRoot], "the attribute of older versions, without a type, and of fuse-overlayfs is read", async () => {
  await using directory = await TempDir.make();
  const tree = await unpacked(
    directory,
    "masked",
    [{ path: "old" }, { path: "fuse" }, { path: "d/", type: "5" }],
    0o755,
  );
  for (const [name, value] of [["old", "7:8:04711"], ["fuse", "9:10:100640:file"], ["d", "11:12:755"]]) {
    lsetxattr(`${tree}/${name}`, ATTRIBUTE, new TextEncoder().encode(value));
  }
  packFile(tree, directory.join("x.tar"), { overrideStat: true });
  const seen = readArchive(await Deno.readFile(directory.join("x.tar"))).slice(1);
  assertEquals(seen.map(({ path, type, uid, gid, mode }) => [path, type, uid, gid, mode]), [
    ["d/", "5", 11, 12, 0o755],
    ["fuse", "0", 9, 10, 0o640],
    ["old", "0", 7, 8, 0o4711],
  ]);
});

testNeeding(
  [needsRoot],
  "what fuse-overlayfs noted of a later change counts more, where it says anything",
  async () => {
    await using directory = await TempDir.make();
    const tree = await unpacked(directory, "masked", [{ path: "f", uid: 5, gid: 6, mode: 0o600 }], 0o755);
    lsetxattr(`${tree}/f`, "user.fuseoverlayfs.override_stat", new TextEncoder().encode("77:-1:100640"));
    packFile(tree, directory.join("x.tar"), { overrideStat: true });
    const file = readArchive(await Deno.readFile(directory.join("x.tar"))).find(({ path }) => path === "f")!;
    assertEquals([file.uid, file.gid, file.mode, file.xattrs], [77, 6, 0o640, {}]);
  },
);

function open(path: string): Fd {
  return new Fd(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
}

testNeeding([needsRoot], "what a changed path is, its attribute says", async () => {
  await using directory = await TempDir.make();
  const tree = await unpacked(directory, "masked", ITEMS, 0o700);
  const expected: Record<string, string> = {
    "/dir": "directory",
    "/dir/file": "file",
    "/dir/hard": "file",
    "/large ids": "file",
    "/null": "device",
    "/pipe": "fifo",
    "/sda": "device",
    "/soft": "symlink",
  };
  const options = { details: true, overrideStat: true };
  using root = new Fd(openat(AT_FDCWD, tree, O_RDONLY | O_DIRECTORY));
  for (const list of [changes(tree, [], options), compare(root.fd, undefined, options)]) {
    assertEquals(Object.fromEntries(list.map(({ path, type }) => [path, String(type)])), expected);
  }
});

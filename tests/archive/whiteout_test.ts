// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { assertFails } from "../_helpers/assert_fails.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { StorageError } from "../../lib/errors.ts";
import { changes } from "../../lib/archive/changes.ts";
import { packFile, unpackFile } from "./_engine.ts";
import { type TarItem, tarOf } from "./_tar_of.ts";

async function unpackItems(directory: TempDir, items: readonly TarItem[]): Promise<string> {
  await Deno.writeFile(directory.join("a.tar"), tarOf(items));
  unpackFile(directory.join("a.tar"), directory.join("layer"));
  return directory.join("layer");
}

/** What stat(1) calls the type of `path`, with the device number of a whiteout. */
async function typeOf(path: string): Promise<string> {
  return (await runOk("stat", ["-c", "%F %t:%T", path])).stdout.trim();
}

async function isOpaque(path: string): Promise<boolean> {
  const { stdout } = await runOk("getfattr", ["-h", "-d", "-m", "trusted.overlay.opaque", path]);
  return stdout.includes('trusted.overlay.opaque="y"');
}

const WHITEOUT = "character special file 0:0";

testNeeding([needsRoot], "unpack() makes a whiteout a character device 0:0", async () => {
  await using directory = await TempDir.make();
  const layer = await unpackItems(directory, [{ path: "etc/.wh.passwd" }]);
  assertEquals(await typeOf(`${layer}/etc/passwd`), WHITEOUT);
});

testNeeding([needsRoot], "unpack() keeps an entry whose whiteout comes after it", async () => {
  await using directory = await TempDir.make();
  const items = [
    { path: "f", data: "new" },
    { path: ".wh.f" },
    { path: "d/", type: "5", mode: 0o755 },
    { path: "d/x" },
    { path: ".wh.d" },
  ];
  const layer = await unpackItems(directory, items);
  assertEquals(await Deno.readTextFile(`${layer}/f`), "new");
  assert((await Deno.lstat(`${layer}/d/x`)).isFile);
  // The directory of the layers below is gone, so it must not show through.
  assert(await isOpaque(`${layer}/d`));
});

testNeeding([needsRoot], "unpack() puts an entry in the place of the whiteout before it", async () => {
  await using directory = await TempDir.make();
  const layer = await unpackItems(directory, [{ path: ".wh.f" }, { path: "f", data: "new" }, { path: ".wh.d" }, {
    path: "d/",
    type: "5",
  }]);
  assertEquals(await Deno.readTextFile(`${layer}/f`), "new");
  assert(await isOpaque(`${layer}/d`));
});

for (const order of ["before", "after"] as const) {
  testNeeding([needsRoot], `unpack() makes a directory of a name deleted ${order} what goes into it`, async () => {
    await using directory = await TempDir.make();
    const items = [{ path: ".wh.d" }, { path: "d/x", data: "new" }, { path: ".wh.f" }, { path: ".wh.f" }];
    if (order === "after") items.reverse();
    const layer = await unpackItems(directory, items);
    assertEquals(await Deno.readTextFile(`${layer}/d/x`), "new");
    assert(await isOpaque(`${layer}/d`));
    assertEquals(await typeOf(`${layer}/f`), WHITEOUT);
  });
}

testNeeding([needsRoot], "unpack() makes no hard link to a deleted name", async () => {
  await using directory = await TempDir.make();
  const unpacked = unpackItems(directory, [{ path: ".wh.f" }, { path: "g", type: "1", link: "f" }]);
  await assertFails(unpacked, "invalid_archive");
});

testNeeding([needsRoot], "unpack() makes a directory opaque, also one that no entry names", async () => {
  await using directory = await TempDir.make();
  const layer = await unpackItems(directory, [{ path: "a/b/.wh..wh..opq" }]);
  assert(await isOpaque(`${layer}/a/b`));
  assert(!await isOpaque(`${layer}/a`));
});

testNeeding([needsRoot], "unpack() leaves out what aufs kept for itself", async () => {
  await using directory = await TempDir.make();
  const layer = await unpackItems(directory, [
    { path: ".wh..wh.plnk/", type: "5" },
    { path: ".wh..wh.plnk/12.34", data: "x" },
    { path: ".wh..wh.aufs" },
    { path: "kept", data: "x" },
  ]);
  assertEquals(await namesIn(layer), ["kept"]);
});

testNeeding([needsRoot], "unpack() takes no attribute of a storage driver, and tells which", async () => {
  await using directory = await TempDir.make();
  const pax = {
    "SCHILY.xattr.trusted.overlay.redirect": "/other",
    "SCHILY.xattr.trusted.overlay.opaque": "y",
    "SCHILY.xattr.user.overlay.opaque": "y",
    "SCHILY.xattr.user.fuseoverlayfs.opaque": "y",
    "SCHILY.xattr.user.containers.override_stat": "0:0:0755",
    "SCHILY.xattr.user.mine": "kept",
  };
  await Deno.writeFile(directory.join("a.tar"), tarOf([{ path: "d/", type: "5", pax }, { path: "f", pax }]));
  const { droppedXattrs } = unpackFile(directory.join("a.tar"), directory.join("layer"));
  assertEquals(droppedXattrs.length, 5);
  for (const name of ["d", "f"]) {
    const { stdout } = await runOk("getfattr", ["-d", "-m", "-", directory.join("layer", name)]);
    assertEquals(stdout.match(/^\S+=/gm), ["user.mine="]);
  }
});

testNeeding([needsRoot], "pack() refuses what an archive cannot say, and names it", async () => {
  for (
    const [make, name] of [["touch .wh.mine", ".wh.mine"], ["touch f; setfattr -n user.a=b -v x f", "a=b"]] as const
  ) {
    await using directory = await TempDir.make();
    const tree = await directory.mkdir("tree");
    await runOk("bash", ["-c", make], { cwd: tree });
    const error = assertThrows(() => packFile(tree, directory.join("a.tar")), StorageError);
    assertEquals(error.code, "not_supported");
    assert(error.message.includes(name), error.message);
  }
});

/** Changes the mount in `script`; what lamina finds in the upper directory. */
async function changesBy(script: string, lowers: readonly string[]): Promise<string[]> {
  await using directory = await TempDir.make();
  const lowerDirs: string[] = [];
  for (const [i, build] of lowers.entries()) {
    lowerDirs.push(await directory.mkdir(`lower${i}`));
    await runOk("bash", ["-ec", build], { cwd: lowerDirs[i]! });
  }
  for (const name of ["upper", "work", "merged"]) await directory.mkdir(name);
  const data = `lowerdir=${lowerDirs.join(":")},upperdir=${directory.join("upper")},workdir=${directory.join("work")}`;
  await runOk("mount", ["-t", "overlay", "overlay", "-o", `index=off,${data}`, directory.join("merged")]);
  await runOk("bash", ["-ec", script], { cwd: directory.join("merged") });
  await runOk("umount", [directory.join("merged")]);
  const found = changes(directory.join("upper"), lowerDirs);
  // The same diff, carried away and unpacked, tells the same.
  packFile(directory.join("upper"), directory.join("a.tar"));
  unpackFile(directory.join("a.tar"), directory.join("copy"));
  assertEquals(changes(directory.join("copy"), lowerDirs), found);
  return found.map(({ kind, path }) => `${kind} ${path}`);
}

const LOWER = "mkdir -p d/sub e; echo 1 >d/a; echo 2 >d/b; echo 3 >d/sub/c; echo 4 >f; ln -s f link; echo 5 >e/x";

const CHANGES: readonly [name: string, script: string, expected: string[]][] = [
  ["nothing", "true", []],
  ["a new file", "echo n >d/new", ["modify /d", "add /d/new"]],
  ["a changed file", "echo more >>d/a", ["modify /d", "modify /d/a"]],
  ["a deleted file", "rm d/a", ["modify /d", "delete /d/a"]],
  ["a deleted directory", "rm -r d", ["delete /d"]],
  ["a directory deleted and made again", "rm -r d; mkdir d; echo x >d/new", [
    "modify /d",
    "delete /d/a",
    "delete /d/b",
    "add /d/new",
    "delete /d/sub",
  ]],
  ["a mode", "chmod 600 f", ["modify /f"]],
  ["an owner of a directory", "chown 5 d", ["modify /d"]],
  ["a file read and not changed", "cat f; touch -r f f", []],
  ["a file in the place of a directory", "rm -r d; echo x >d", ["modify /d"]],
  ["a directory in the place of a file", "rm f; mkdir f; echo x >f/y", ["modify /f", "add /f/y"]],
  ["a rename", "mv f g", ["delete /f", "add /g"]],
  ["a link", "ln -sfn d link", ["modify /link"]],
  ["something made and deleted", "echo x >tmp; rm tmp", []],
];

for (const [name, script, expected] of CHANGES) {
  testNeeding([needsRoot, needsOverlay], `changes() of ${name}`, async () => {
    assertEquals(await changesBy(script, [LOWER]), expected);
  });
}

testNeeding([needsRoot, needsOverlay], "changes() sees several lower directories as the mount shows them", async () => {
  const middle = "mkdir d; mknod d/a c 0 0; echo m >d/m; mkdir e; setfattr -n trusted.overlay.opaque -v y e";
  // d/a is deleted in the middle and e/x hidden there, so both are new here.
  assertEquals(await changesBy("echo new >d/a; echo n >e/x; rm d/m", [middle, LOWER]), [
    "modify /d",
    "add /d/a",
    "delete /d/m",
    "modify /e",
    "add /e/x",
  ]);
});

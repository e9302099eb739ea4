// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { StorageError } from "../../lib/errors.ts";
import { unpackFile } from "./_engine.ts";
import { type TarItem, tarOf } from "./_tar_of.ts";

/** Unpacks `items` onto the tree that `script` makes. */
async function onto(directory: TempDir, script: string, items: readonly TarItem[]): Promise<string> {
  const tree = directory.join("tree");
  await Deno.mkdir(tree);
  await runOk("bash", ["-ec", script], { cwd: tree });
  await Deno.writeFile(directory.join("a.tar"), tarOf(items));
  unpackFile(directory.join("a.tar"), tree, { target: "merged" });
  return tree;
}

/** Every path below `tree`, with the content of files. */
async function contentOf(tree: string): Promise<string> {
  return (await runOk("bash", ["-c", 'find . -mindepth 1 | sort; grep -r "" . | sort'], { cwd: tree })).stdout;
}

const CASES: readonly [name: string, script: string, items: readonly TarItem[], expected: string[]][] = [
  ["deletes what a whiteout names", "mkdir -p d/e; touch d/e/x f", [{ path: ".wh.d" }, { path: ".wh.gone" }], ["f"]],
  ["keeps what the archive made before its whiteout", "touch f g", [{ path: "f" }, { path: ".wh.f" }], ["f", "g"]],
  ["keeps a link's target when it deletes the link", "touch f; ln -s f l", [{ path: ".wh.l" }], ["f"]],
  ["empties an opaque directory", "mkdir d; touch d/a d/b", [{ path: "d/c" }, { path: "d/.wh..wh..opq" }], [
    "d",
    "d/c",
  ]],
  ["keeps what came by another name", "mkdir d; touch d/a; ln -s d s", [
    { path: "s/x" },
    { path: "d/.wh..wh..opq" },
  ], ["d", "d/x", "s"]],
  ["empties a directory that is deleted and named", "mkdir -p d/e; touch d/e/a d/b", [
    { path: "d/e/new" },
    { path: ".wh.d" },
  ], ["d", "d/e", "d/e/new"]],
  ["empties what lies below an opaque directory", "mkdir -p d/e; touch d/a d/e/b", [
    { path: "d/e/new" },
    { path: "d/.wh..wh..opq" },
    { path: "d/e/.wh..wh..opq" },
    { path: "d/.wh.e" },
    { path: "d/f" },
    { path: "d/.wh..wh..opq" },
  ], ["d", "d/e", "d/e/new", "d/f"]],
  ["empties an opaque directory in which another one was emptied", "mkdir -p d/e; touch d/a d/e/b", [
    { path: "d/e/new" },
    { path: "d/e/.wh..wh..opq" },
    { path: "d/.wh..wh..opq" },
  ], ["d", "d/e", "d/e/new"]],
  ["replaces a directory by a file", "mkdir d; touch d/a", [{ path: "d" }], ["d"]],
  ["replaces a file by a directory", "touch d", [{ path: "d/x" }], ["d", "d/x"]],
];

for (const [name, script, items, expected] of CASES) {
  testNeeding([needsRoot], `unpack() onto a merged tree ${name}`, async () => {
    await using directory = await TempDir.make();
    const tree = await onto(directory, script, items);
    const found = (await runOk("find", [".", "-mindepth", "1", "-printf", "%P\n"], { cwd: tree })).stdout;
    assertEquals(found.trim().split("\n").sort(), expected);
  });
}

testNeeding([needsRoot], "unpack() onto a merged tree does not look at all files for each mark", async () => {
  await using directory = await TempDir.make();
  const numbers = Array.from({ length: 4000 }, (_, i) => i);
  const files = numbers.map((i) => ({ path: `d/f-${i}` }));
  const marks = numbers.map(() => ({ path: "d/.wh..wh..opq" }));
  await Deno.writeFile(directory.join("a.tar"), tarOf([...files, ...marks]));
  // One after the other takes a minute.
  const deadline = performance.now() + 20_000;
  const tick = (): void => assert(performance.now() < deadline, "not done in time");
  unpackFile(directory.join("a.tar"), directory.join("tree"), { target: "merged", control: { tick } });
  assertEquals((await namesIn(directory.join("tree/d"))).length, numbers.length);
});

testNeeding([needsRoot], "unpack() onto a merged tree never writes through a hard link", async () => {
  await using directory = await TempDir.make();
  const tree = await onto(directory, "echo old >a; ln a b", [{ path: "a", data: "new" }]);
  assertEquals(await Deno.readTextFile(`${tree}/b`), "old\n");
  assertEquals(await Deno.readTextFile(`${tree}/a`), "new");
});

testNeeding(
  [needsRoot],
  "unpack() onto a merged tree gives a directory its entry's mode and keeps its files",
  async () => {
    await using directory = await TempDir.make();
    const tree = await onto(directory, "mkdir -m 700 d; touch d/a", [{ path: "d/", type: "5", mode: 0o751 }]);
    assertEquals((await Deno.stat(`${tree}/d`)).mode! & 0o7777, 0o751);
    assertEquals(await namesIn(`${tree}/d`), ["a"]);
  },
);

testNeeding([needsRoot], "unpack() onto a merged tree deletes nothing of a mount in it", async () => {
  await using directory = await TempDir.make();
  const tree = await directory.mkdir("tree");
  await runOk("bash", ["-ec", "mkdir -p d/m; mount -t tmpfs none d/m; touch d/m/kept"], { cwd: tree });
  try {
    await Deno.writeFile(directory.join("a.tar"), tarOf([{ path: ".wh.d" }]));
    const unpack = () => unpackFile(directory.join("a.tar"), tree, { target: "merged" });
    assertEquals(assertThrows(unpack, StorageError).code, "layer_in_use");
    assertEquals(await namesIn(`${tree}/d/m`), ["kept"]);
  } finally {
    await runOk("umount", [`${tree}/d/m`]);
  }
});

testNeeding([needsRoot, needsOverlay], "unpack() shows the same tree merged and as an upper directory", async () => {
  const lower = "mkdir -p d/e f g; echo 1 >d/a; echo 2 >d/e/b; echo 3 >f/c; echo 4 >g/h; echo 5 >i";
  const items = [
    { path: "d/e/new", data: "n\n" },
    { path: ".wh.d" },
    { path: "f/.wh..wh..opq" },
    { path: ".wh.g" },
    { path: "g/x", data: "x\n" },
    { path: "i/j", data: "j\n" },
  ];
  await using directory = await TempDir.make();
  const merged = await onto(directory, lower, items);
  for (const name of ["lower", "upper", "work", "mount"]) await directory.mkdir(name);
  await runOk("bash", ["-ec", lower], { cwd: directory.join("lower") });
  unpackFile(directory.join("a.tar"), directory.join("upper"));
  const data = `lowerdir=lower,upperdir=upper,workdir=work`;
  await runOk("mount", ["-t", "overlay", "overlay", "-o", data, "mount"], { cwd: directory.path });
  try {
    assertEquals(await contentOf(directory.join("mount")), await contentOf(merged));
  } finally {
    await runOk("umount", [directory.join("mount")]);
  }
});

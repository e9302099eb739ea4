// SPDX-License-Identifier: Apache-2.0

/** Docker's legacy driver on disk: what its programs find there, and what they leave behind. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { openDriver } from "../../lib/drivers/registry.ts";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree, listTree } from "../_helpers/tree.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import { withoutTimes } from "../_helpers/without_times.ts";

const NEEDS = [needsRoot, needsOverlay, needsProgram("find"), needsProgram("setfattr")];

const BASE: readonly TarItem[] = [
  { path: "./", type: "5", mode: 0o750, mtime: 1000 },
  { path: "etc/", type: "5", mode: 0o700, mtime: 2000, pax: { "SCHILY.xattr.user.note": "directory" } },
  { path: "etc/hosts", data: "127.0.0.1\n", mtime: 1000, pax: { "SCHILY.xattr.user.note": "file" } },
  { path: "etc/passwd", data: "root\n", mode: 0o640, uid: 5, mtime: 1000 },
  { path: "bin/su", data: "su", mode: 0o4755, mtime: 1000 },
  { path: "bin/hard", type: "1", link: "bin/su" },
  { path: "bin/soft", type: "2", link: "su", mtime: 1000 },
];

function open(directory: TempDir): Promise<GraphDriver> {
  return openDriver({ driver: "overlay", root: directory.join("root"), runRoot: directory.join("run") });
}

async function apply(driver: GraphDriver, id: string, items: readonly TarItem[]): Promise<void> {
  await driver.applyDiff(id, new Blob([tarOf(items)]).stream());
}

async function findIn(directory: string): Promise<string[]> {
  const { stdout } = await runOk("find", [".", "-mindepth", "1", "-maxdepth", "2", "-printf", "%P %m\n"], {
    cwd: directory,
  });
  return stdout.trim().split("\n").sort();
}

testNeeding(NEEDS, "overlay makes layers in three ways, as Docker's driver does", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await apply(driver, "base", BASE);
  await driver.createReadWrite("init", { parent: "base" });
  {
    await using init = await driver.get("init");
    await Deno.writeTextFile(`${init.path}/made-by-init`, "x");
  }
  await driver.createReadWrite("container", { parent: "init" });
  const files = (await findIn(driver.home)).filter((line) => !line.includes("/.lamina-"));
  const layer = (id: string): string[] => [
    `${id} 700`,
    `${id}/lower-id 644`,
    `${id}/merged 700`,
    `${id}/upper 750`,
    `${id}/work 700`,
  ];
  assertEquals(files, ["base 700", "base/root 750", ...layer("container"), ...layer("init")]);
  // A child of a writable layer lies over the same image, and begins with a copy of what that changed.
  for (const id of ["init", "container"]) {
    assertEquals(await Deno.readTextFile(`${driver.home}/${id}/lower-id`), "base");
  }
  const inodes = await Promise.all(
    ["init", "container"].map(async (id) => (await Deno.stat(`${driver.home}/${id}/upper/made-by-init`)).ino),
  );
  assertNotEquals(inodes[0], inodes[1]);
  assertEquals(await driver.changes("container"), []);
  assertEquals(withoutTimes(await Array.fromAsync(driver.layers())), [
    { id: "base", parent: undefined, depth: 0, mounted: false },
    { id: "container", parent: "init", depth: 2, mounted: false },
    { id: "init", parent: "base", depth: 1, mounted: false },
  ]);
  assertEquals((await driver.status()).map(([key]) => key), ["Backing Filesystem", "Supports d_type"]);
});

testNeeding(NEEDS, "overlay makes an image of a layer by hard links that keep all metadata", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await apply(driver, "base", BASE);
  const root = (id: string): string => `${driver.home}/${id}/root`;
  await runOk("setfattr", ["-n", "user.acl-like", "-v", "kept", `${root("base")}/bin`]);
  const before = await listTree(root("base"));
  await driver.create("child", { parent: "base" });
  await apply(driver, "child", [{ path: "new", data: "new", mtime: 3000 }]);
  assertEquals(await namesIn(`${driver.home}/child`), [".lamina-parent", "root"]);
  await assertSameTree(root("child"), root("base"), { ignore: (path) => path === "new", withoutRoot: true });
  for (const path of ["etc/hosts", "bin/su", "bin/hard"]) {
    assertEquals((await Deno.stat(`${root("child")}/${path}`)).ino, (await Deno.stat(`${root("base")}/${path}`)).ino);
  }
  assertEquals(await listTree(root("base")), before);
  assertEquals(await driver.changes("child"), [{ path: "/new", kind: "add" }]);
});

const CHANGES: readonly [what: string, item: TarItem][] = [
  ["other content", { path: "etc/hosts", data: "changed\n", mtime: 1000 }],
  ["another mode", { path: "bin/su", data: "su", mode: 0o600, mtime: 1000 }],
  ["another owner", { path: "etc/passwd", data: "root\n", mode: 0o640, uid: 9, gid: 9, mtime: 1000 }],
  ["another time", { path: "etc/passwd", data: "root\n", mode: 0o640, uid: 5, mtime: 5000 }],
  ["another attribute", { path: "bin/su", data: "su", mode: 0o4755, mtime: 1000, pax: { "SCHILY.xattr.user.x": "y" } }],
  ["a link to it", { path: "etc/again", type: "1", link: "etc/hosts" }],
  ["other attributes of a directory", {
    path: "etc/",
    type: "5",
    mode: 0o711,
    mtime: 9,
    pax: { "SCHILY.xattr.user.note": "new" },
  }],
  ["a deletion", { path: "etc/.wh.hosts", data: "" }],
];

for (const [what, item] of CHANGES) {
  testNeeding(NEEDS, `overlay never writes into a file that images share: ${what}`, async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory);
    await driver.create("base");
    await apply(driver, "base", BASE);
    await driver.create("middle", { parent: "base" });
    await apply(driver, "middle", [{ path: "middle", data: "x", mtime: 1000 }]);
    const roots = [`${driver.home}/base/root`, `${driver.home}/middle/root`];
    const before = await Promise.all(roots.map((root) => listTree(root)));
    await driver.create("top", { parent: "middle" });
    await apply(driver, "top", [item]);
    assertEquals(await Promise.all(roots.map((root) => listTree(root))), before);
    assertNotEquals(await driver.changes("top", { compareXattrs: true }), []);
  });
}

testNeeding(NEEDS, "overlay shows an image that shares its files without letting anybody write to it", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await apply(driver, "base", BASE);
  {
    await using base = await driver.get("base");
    assertEquals(base.path, `${driver.home}/base/root`);
  }
  await driver.create("child", { parent: "base" });
  await apply(driver, "child", []);
  for (const id of ["base", "child"]) {
    await using layer = await driver.get(id);
    await assertRejects(() => Deno.writeTextFile(`${layer.path}/etc/hosts`, "x"), Error, "os error 30");
  }
});

/** A layer damaged by hand, and the file that the error names. */
const DAMAGE: readonly [what: string, script: string, file: string][] = [
  ["a missing lower-id", "rm child/lower-id", "child/lower-id"],
  ["an empty lower-id", ": >child/lower-id", "child/lower-id"],
  ["a lower-id that is a path", "printf ../base >child/lower-id", "child/lower-id"],
  ["a lower-id of no layer", "printf nobody >child/lower-id", "nobody/root"],
  ["no upper directory", "rm -r child/upper", "child/upper"],
  ["neither root nor upper", "rm -r child/upper child/merged", "child/upper"],
  ["a file for an upper directory", "rm -r child/upper; : >child/upper", "child/upper"],
  ["no work directory", "rm -r child/work", "child/work"],
  ["no tree below", "mv base/root base/tree", "base/root"],
];

for (const [what, script, file] of DAMAGE) {
  testNeeding(NEEDS, `overlay with ${what} is store_damaged, and stays as it is`, async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory);
    await driver.create("base");
    await apply(driver, "base", BASE);
    await driver.createReadWrite("child", { parent: "base" });
    await runOk("bash", ["-ec", script], { cwd: driver.home });
    const before = await listTree(driver.home);
    for (const use of [() => driver.get("child"), () => driver.changes("child"), () => driver.diff("child")]) {
      const error = await assertFails(use(), "store_damaged");
      assert(error.message.includes(`${driver.home}/${file}`), error.message);
      assert(error.hint !== undefined, error.message);
    }
    assertEquals(await listTree(driver.home), before);
    await driver.remove("child");
    assert(!(await driver.exists("child")));
  });
}

testNeeding(NEEDS, "a root is known as one of Docker's legacy driver by its layers", async () => {
  await using directory = await TempDir.make();
  {
    await using driver = await open(directory);
    await driver.create("base");
  }
  const places = { root: directory.join("root"), runRoot: directory.join("run") };
  await using found = await openDriver(places);
  assertEquals(found.name, "overlay");
  await Deno.mkdir(directory.join("root", "overlay2", "layer"), { recursive: true });
  await assertFails(openDriver(places), "prior_driver_conflict");
});

testNeeding(NEEDS, "overlay takes no options", async () => {
  await using directory = await TempDir.make();
  const places = { driver: "overlay", root: directory.join("root"), runRoot: directory.join("run") } as const;
  await assertFails(openDriver({ ...places, options: ["overlay.size=1G"] }), "invalid_argument");
  await assertFails(openDriver({ ...places, options: ["nonsense"] }), "invalid_argument");
});

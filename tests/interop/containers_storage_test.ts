// SPDX-License-Identifier: Apache-2.0

/** One store, used by lamina and by the program of containers/storage. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { isMountPoint } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree, listTree } from "../_helpers/tree.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import { runLamina } from "../cli/_run_lamina.ts";
import { CONTAINERS_STORAGE_NEEDS as NEEDS, ContainersStore } from "./_containers_storage.ts";
import { withoutTimes } from "../_helpers/without_times.ts";

const BASE: readonly TarItem[] = [
  { path: "etc/", type: "5", mode: 0o755, mtime: 1000 },
  { path: "etc/hosts", data: "127.0.0.1\n", mtime: 1000 },
  { path: "etc/passwd", data: "root\n", mode: 0o600, uid: 5, gid: 6, mtime: 1000 },
  { path: "bin/", type: "5", mode: 0o755, mtime: 1000 },
  { path: "bin/su", data: "su", mode: 0o4755, mtime: 1000 },
  { path: "bin/hard", type: "1", link: "bin/su" },
  { path: "bin/soft", type: "2", link: "su", mtime: 1000 },
  { path: "old/", type: "5", mode: 0o755, mtime: 1000 },
  { path: "old/file", data: "old", mtime: 1000 },
  { path: "var/", type: "5", mode: 0o1777, mtime: 1000 },
];

/** Changes of every kind that all programs tell the same of. */
const CHANGE =
  `echo ::1 >>etc/hosts; rm etc/passwd; mkdir new; echo new >new/file; chmod 700 bin/su; touch bin; rm -r old
  mknod pipe p; chown 7:8 bin/soft -h`;
const CHANGES = [
  { path: "/bin", kind: "modify" },
  { path: "/bin/soft", kind: "modify" },
  { path: "/bin/su", kind: "modify" },
  { path: "/etc", kind: "modify" },
  { path: "/etc/hosts", kind: "modify" },
  { path: "/etc/passwd", kind: "delete" },
  { path: "/new", kind: "add" },
  { path: "/new/file", kind: "add" },
  { path: "/old", kind: "delete" },
  { path: "/pipe", kind: "add" },
];

async function change(tree: string): Promise<void> {
  await runOk("bash", ["-ec", CHANGE], { cwd: tree });
}

/** `base` with content and `child` with changes, all made by containers-storage. */
async function fillByTool(store: ContainersStore, directory: TempDir): Promise<void> {
  await Deno.writeFile(directory.join("base.tar"), tarOf(BASE));
  await store.tool("create-layer", "-i", "base");
  await store.tool("applydiff", "-f", directory.join("base.tar"), "base");
  await store.tool("create-layer", "-i", "child", "base");
  await change(await store.tool("mount", "child"));
  await store.tool("unmount", "child");
}

/** Everything in the store but the layers' own directories: the tool's records. */
async function records(store: ContainersStore): Promise<string[]> {
  return (await listTree(store.root)).filter((line) => !line.startsWith('"overlay/') && !line.startsWith('"overlay" '));
}

async function diffOf(driver: GraphDriver, id: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(await driver.diff(id)).arrayBuffer());
}

testNeeding(NEEDS, "lamina lists, mounts, compares and exports layers of containers-storage", async () => {
  await using directory = await TempDir.make();
  const store = new ContainersStore(directory, "store");
  await fillByTool(store, directory);
  const before = await records(store);
  {
    await using driver = await store.open();
    assertEquals(driver.name, "containers-overlay");
    assertEquals(withoutTimes(await Array.fromAsync(driver.layers())), [
      { id: "base", parent: undefined, depth: 0, mounted: false },
      { id: "child", parent: "base", depth: 1, mounted: false },
    ]);
    assertEquals(await driver.changes("child"), CHANGES as never);
    assertEquals(await store.toolChanges("child"), CHANGES);
    assertEquals(String(await driver.diffSize("child")), (await store.tool("diffsize", "child")).replace(/\D/g, ""));
    const theirs = await store.tool("mount", "child");
    const tree = await listTree(theirs);
    await store.tool("unmount", "child");
    await using ours = await driver.get("child");
    assertEquals(ours.path, theirs);
    assertEquals(await listTree(ours.path), tree);
  }
  assertEquals(await records(store), before);
});

testNeeding(
  NEEDS,
  "a diff that lamina makes of a layer of containers-storage makes the same layer in another store",
  async () => {
    await using directory = await TempDir.make();
    const store = new ContainersStore(directory, "store");
    await fillByTool(store, directory);
    const other = new ContainersStore(directory, "other");
    await using driver = await store.open();
    for (const [id, ...parent] of [["base"], ["child", "base"]] as const) {
      await Deno.writeFile(directory.join(`${id}.diff`), await diffOf(driver, id));
      await other.tool("create-layer", "-i", id, ...parent);
      await other.tool("applydiff", "-f", directory.join(`${id}.diff`), id);
    }
    assertEquals(await other.toolChanges("child"), CHANGES);
    const [copied, original] = [await other.tool("mount", "child"), await store.tool("mount", "child")];
    // It passes over what an archive says of the root.
    await assertSameTree(copied, original, { withoutRoot: true });
  },
);

testNeeding(NEEDS, "containers-storage mounts, compares and exports layers that lamina filled", async () => {
  await using directory = await TempDir.make();
  const store = new ContainersStore(directory, "store");
  await store.tool("create-layer", "-i", "base");
  const empty = await records(store);
  await using driver = await store.open();
  await driver.applyDiff("base", new Blob([tarOf(BASE)]).stream());
  assertEquals(await records(store), empty);
  await store.tool("create-layer", "-i", "child", "base");
  const before = await records(store);
  {
    await using child = await driver.get("child");
    await change(child.path);
  }
  assertEquals(await records(store), before);

  assertEquals(await store.toolChanges("child"), CHANGES);
  assertEquals(await driver.changes("child"), CHANGES as never);
  const merged = await store.tool("mount", "child");
  const tree = await listTree(merged);
  await store.tool("unmount", "child");
  {
    await using child = await driver.get("child");
    assertEquals(await listTree(child.path), tree);
  }

  // What it wrote itself, no recorded archive: these layers were never applied by it.
  await using copies = await (new ContainersStore(directory, "copies")).open({ driver: "containers-overlay" });
  for (const id of ["base", "child"]) {
    await store.tool("diff", "-u", "-f", directory.join(`${id}.diff`), id);
    await copies.create(id, id === "child" ? { parent: "base" } : {});
    using file = await Deno.open(directory.join(`${id}.diff`));
    await copies.applyDiff(id, file.readable);
  }
  assertEquals(await copies.changes("child"), CHANGES as never);
});

testNeeding(NEEDS, "layers that lamina made in a store of containers-storage are its own affair", async () => {
  await using directory = await TempDir.make();
  const store = new ContainersStore(directory, "store");
  await fillByTool(store, directory);
  const before = await records(store);
  await using driver = await store.open();
  await driver.createReadWrite("ours", { parent: "child" });
  {
    await using ours = await driver.get("ours");
    assertEquals(await namesIn(ours.path), ["bin", "etc", "new", "pipe", "var"]);
    await Deno.remove(`${ours.path}/new`, { recursive: true });
  }
  assertEquals(await driver.changes("ours"), [{ path: "/new", kind: "delete" }]);
  assertEquals((await store.tool("layers")).split("\n"), ["base", "child"]);
  await assertFails(driver.remove("child"), "layer_in_use");
  await driver.remove("ours");
  assertEquals(await records(store), before);
  await store.tool("delete-layer", "child");
  assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base"]);
});

testNeeding(NEEDS, "a layer that containers-storage mounted stays mounted when lamina is done with it", async () => {
  await using directory = await TempDir.make();
  const store = new ContainersStore(directory, "store");
  await fillByTool(store, directory);
  await using driver = await store.open();
  const path = await store.tool("mount", "child");
  assertEquals((await Array.fromAsync(driver.layers())).map(({ mounted }) => mounted), [false, true]);
  assertEquals((await driver.get("child")).path, path);
  await assertFails(driver.remove("child"), "layer_in_use");
  await driver.put("child");
  assert(isMountPoint(path));
  await store.tool("unmount", "child");
  assert(!isMountPoint(path));
});

testNeeding(NEEDS, "both find layers of an image store, and lamina changes nothing in it", async () => {
  await using directory = await TempDir.make();
  const images = new ContainersStore(directory, "images");
  await fillByTool(images, directory);
  const store = new ContainersStore(directory, "store", [`overlay.imagestore=${images.root}`]);
  await store.tool("create-layer", "-i", "theirs", "child");
  await Deno.writeTextFile(`${await store.tool("mount", "theirs")}/mine`, "mine");
  await store.tool("unmount", "theirs");
  const before = await listTree(images.root);

  await using driver = await store.open();
  assertEquals(await driver.changes("theirs"), [{ path: "/mine", kind: "add" }]);
  const { lowerDirs } = await driver.getMetadata("theirs");
  assertEquals(lowerDirs, [`${images.root}/overlay/child/diff`, `${images.root}/overlay/base/diff`]);
  await driver.createReadWrite("ours", { parent: "child" });
  for (const id of ["theirs", "ours"]) {
    await using layer = await driver.get(id);
    assertEquals((await namesIn(layer.path)).includes("new"), true);
  }
  {
    await using image = await driver.get("child");
    assert(!image.path.startsWith(images.root));
    assertEquals(await Deno.readTextFile(`${image.path}/new/file`), "new\n");
    await runOk("bash", ["-c", '! echo x >"$0/x" 2>/dev/null', image.path]);
  }
  assertEquals(await driver.changes("child"), CHANGES as never);
  await assertFails(driver.remove("child", { force: true }), "store_read_only");
  await assertFails(driver.applyDiff("child", new Blob([]).stream()), "store_read_only");
  assertEquals(await listTree(images.root), before);
});

testNeeding(NEEDS, "the command line works on a store of containers-storage", async () => {
  await using directory = await TempDir.make();
  const store = new ContainersStore(directory, "store");
  await fillByTool(store, directory);
  const lamina = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await runLamina([...store.cliOptions, ...args]);
    assertEquals(code, 0, stderr);
    return stdout.trimEnd();
  };
  assertEquals((await lamina("ls")).includes("child"), true);
  assertEquals(JSON.parse(await lamina("changes", "child", "--json")), CHANGES);
  const merged = await lamina("--driver", "containers-overlay", "mount", "child");
  assertEquals(await namesIn(merged), ["bin", "etc", "new", "pipe", "var"]);
  await lamina("unmount", "child");
  assert(!isMountPoint(merged));
});

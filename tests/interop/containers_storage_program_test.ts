// SPDX-License-Identifier: Apache-2.0

/** One store below fuse-overlayfs, used by lamina and by the program of containers/storage. */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { namesIn } from "../_helpers/names_in.ts";
import { needsFuseOverlayfs, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree, listTree } from "../_helpers/tree.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import { CONTAINERS_STORAGE_NEEDS, ContainersStore } from "./_containers_storage.ts";

const NEEDS = [...CONTAINERS_STORAGE_NEEDS, needsFuseOverlayfs];
const OPTION = "overlay.mount_program=/usr/bin/fuse-overlayfs";

const BASE: readonly TarItem[] = [
  { path: "etc/", type: "5", mode: 0o755, mtime: 1000 },
  { path: "etc/hosts", data: "127.0.0.1\n", mtime: 1000 },
  { path: "etc/passwd", data: "root\n", mode: 0o600, uid: 5, gid: 6, mtime: 1000 },
  { path: "old/", type: "5", mode: 0o755, mtime: 1000 },
  { path: "old/file", data: "old", mtime: 1000 },
  { path: "var/", type: "5", mode: 0o1777, mtime: 1000 },
  { path: "var/log", data: "log", mtime: 1000 },
];
const CHILD: readonly TarItem[] = [
  { path: "etc/", type: "5", mode: 0o755, mtime: 2000 },
  { path: "etc/.wh.passwd" },
  { path: "etc/hosts", data: "::1\n", mtime: 2000 },
  { path: ".wh.old" },
  { path: "var/", type: "5", mode: 0o1777, mtime: 2000 },
  { path: "var/.wh..wh..opq" },
  { path: "var/new", data: "new", mtime: 2000 },
];
const CHANGES = [
  { path: "/etc", kind: "modify" },
  { path: "/etc/hosts", kind: "modify" },
  { path: "/etc/passwd", kind: "delete" },
  { path: "/old", kind: "delete" },
  { path: "/var", kind: "modify" },
  { path: "/var/log", kind: "delete" },
  { path: "/var/new", kind: "add" },
] as const;

async function createByTool(store: ContainersStore, directory: TempDir): Promise<void> {
  await Deno.writeFile(directory.join("base.tar"), tarOf(BASE));
  await Deno.writeFile(directory.join("child.tar"), tarOf(CHILD));
  await store.tool("create-layer", "-i", "base");
  await store.tool("applydiff", "-f", directory.join("base.tar"), "base");
  await store.tool("create-layer", "-i", "child", "base");
}

testNeeding(NEEDS, "below fuse-overlayfs lamina sees what containers-storage sees", async () => {
  await using directory = await TempDir.make();
  const store = new ContainersStore(directory, "store", [OPTION]);
  await createByTool(store, directory);
  await store.tool("applydiff", "-f", directory.join("child.tar"), "child");
  await store.tool("create-layer", "-i", "job", "child");
  const byTool = await store.tool("mount", "job");
  await runOk("bash", ["-ec", "rm etc/hosts; rm -r var; mkdir var; touch var/mine"], { cwd: byTool });
  const seenByTool = await listTree(byTool);
  await store.tool("unmount", "job");

  await using driver = await store.open();
  assertEquals(await driver.changes("child"), [...CHANGES]);
  assertEquals((await driver.changes("job")).map(({ path, kind }) => `${kind} ${path}`), [
    "modify /etc",
    "delete /etc/hosts",
    "modify /var",
    "add /var/mine",
    "delete /var/new",
  ]);
  await using job = await driver.get("job");
  assertEquals(await listTree(job.path), seenByTool);
});

testNeeding(
  NEEDS,
  "below fuse-overlayfs a layer that lamina filled is what containers-storage makes of it",
  async () => {
    await using directory = await TempDir.make();
    const [ours, theirs] = ["ours", "theirs"].map((name) => new ContainersStore(directory, name, [OPTION]));
    for (const store of [ours!, theirs!]) await createByTool(store, directory);
    await theirs!.tool("applydiff", "-f", directory.join("child.tar"), "child");
    {
      await using driver = await ours!.open();
      using file = await Deno.open(directory.join("child.tar"));
      await driver.applyDiff("child", file.readable);
      await using _mounted = await driver.get("child");
    }
    for (const name of ["", "/etc", "/var"]) {
      const [a, b] = [ours!, theirs!].map((store) => namesIn(`${store.root}/overlay/child/diff${name}`));
      assertEquals(await a, await b);
    }
    const [a, b] = [await ours!.tool("mount", "child"), await theirs!.tool("mount", "child")];
    await assertSameTree(a, b, { withoutRoot: true });
    for (const store of [ours!, theirs!]) {
      await store.tool("unmount", "child");
      assertEquals((await Deno.readTextFile(`${store.root}/overlay/.has-mount-program`)).trim(), "true");
    }
  },
);

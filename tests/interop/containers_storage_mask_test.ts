// SPDX-License-Identifier: Apache-2.0

/** One store with force_mask, used by lamina and by the program of containers/storage, through fuse-overlayfs. */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { needsFuseOverlayfs, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { readArchive } from "../archive/_read_archive.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import { CONTAINERS_STORAGE_NEEDS, ContainersStore } from "./_containers_storage.ts";

const NEEDS = [...CONTAINERS_STORAGE_NEEDS, needsFuseOverlayfs];
const OPTIONS = ["overlay.mount_program=/usr/bin/fuse-overlayfs", "overlay.force_mask=shared"];

/** Without what Debian's version cannot keep: devices, setuid bits, owners of links. */
const BASE: readonly TarItem[] = [
  { path: "./", type: "5", mode: 0o750, uid: 3, gid: 4, mtime: 1000 },
  { path: "dir/", type: "5", mode: 0o700, uid: 1, gid: 2, mtime: 1000 },
  { path: "dir/file", data: "content", mode: 0o640, uid: 1000, gid: 1001, mtime: 1000 },
  { path: "dir/soft", type: "2", link: "file", mode: 0o777, mtime: 1000 },
];
const OWNERS = ["./ 750 3:4", "dir/ 700 1:2", "dir/file 640 1000:1001", "dir/soft 777 0:0"];

testNeeding(NEEDS, "lamina exports a masked layer of containers-storage with its real owners and modes", async () => {
  await using directory = await TempDir.make();
  const store = new ContainersStore(directory, "store", OPTIONS);
  await Deno.writeFile(directory.join("base.tar"), tarOf(BASE));
  await store.tool("create-layer", "-i", "base");
  await store.tool("applydiff", "-f", directory.join("base.tar"), "base");
  const { stdout } = await runOk("find", ["-printf", "%m %U:%G\n"], { cwd: `${store.root}/overlay/base/diff` });
  assertEquals(new Set(stdout.trim().split("\n")), new Set(["755 0:0", "777 0:0"]));
  await using driver = await store.open();
  const archive = new Uint8Array(await new Response(await driver.diff("base")).arrayBuffer());
  const seen = readArchive(archive).map(({ path, mode, uid, gid }) => `${path} ${mode.toString(8)} ${uid}:${gid}`);
  // Debian's version notes the root as it is on disk.
  assertEquals(seen.slice(-3), OWNERS.slice(1));
});

testNeeding(NEEDS, "containers-storage shows a masked layer of lamina with its real owners and modes", async () => {
  await using directory = await TempDir.make();
  const store = new ContainersStore(directory, "store", OPTIONS);
  await store.tool("create-layer", "-i", "base");
  {
    await using driver = await store.open();
    await driver.applyDiff("base", ReadableStream.from([tarOf(BASE)]));
  }
  await store.tool("create-layer", "-i", "job", "base");
  const path = await store.tool("mount", "job");
  const { stdout } = await runOk("stat", ["-c", "%a %u:%g", "dir", "dir/file", "dir/soft"], { cwd: path });
  assertEquals(stdout.trim().split("\n"), OWNERS.slice(1).map((line) => line.slice(line.indexOf(" ") + 1)));
  await store.tool("unmount", "job");
});

testNeeding(NEEDS, "what is changed through fuse-overlayfs in a masked layer is exported as changed", async () => {
  await using directory = await TempDir.make();
  const store = new ContainersStore(directory, "store", OPTIONS);
  await using driver = await store.open({ driver: "containers-overlay" });
  await driver.create("base");
  await driver.applyDiff("base", ReadableStream.from([tarOf(BASE)]));
  await driver.createReadWrite("job", { parent: "base" });
  {
    await using job = await driver.get("job");
    await runOk("bash", ["-ec", "chown 77:78 dir/file; echo new >new; chmod 604 new; chown 5:6 new"], {
      cwd: job.path,
    });
  }
  assertEquals(await driver.changes("job"), [
    { path: "/dir", kind: "modify" },
    { path: "/dir/file", kind: "modify" },
    { path: "/new", kind: "add" },
  ]);
  const archive = new Uint8Array(await new Response(await driver.diff("job")).arrayBuffer());
  const owners = Object.fromEntries(readArchive(archive).map(({ path, uid, gid }) => [path, `${uid}:${gid}`]));
  assertEquals([owners["dir/file"], owners["new"]], ["77:78", "5:6"]);
  const all = await driver.changes("job", { parent: null });
  assertEquals(all.map(({ path }) => path), ["/dir", "/dir/file", "/dir/soft", "/new"]);
});

// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver, type OpenOptions } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { isMountPoint, mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsFuseOverlayfs, needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { listTree } from "../_helpers/tree.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { runLamina } from "../cli/_run_lamina.ts";
import { driverSuite, type Expectations, streamOf } from "./driver_suite.ts";

const PROGRAM = "/usr/bin/fuse-overlayfs";
const NEEDS = [needsRoot, needsOverlay, needsFuseOverlayfs];
const FUSE: OpenOptions = { driver: "containers-overlay", work: "in-place", options: [`mount_program=${PROGRAM}`] };

const EXPECTATIONS: Expectations = { templates: "parents", seesLinks: true };

if (needsFuseOverlayfs.missing() === undefined) {
  driverSuite("containers-overlay by fuse-overlayfs, in Workers", { ...FUSE, work: "worker" }, EXPECTATIONS);
  driverSuite("containers-overlay by fuse-overlayfs, in place", FUSE, EXPECTATIONS);
}

/** Opens the store in `directory`. */
async function open(directory: TempDir, ...options: string[]): Promise<GraphDriver> {
  return await openDriver({ ...FUSE, options, root: directory.join("root"), runRoot: directory.join("run") });
}

async function openFuse(directory: TempDir, ...options: string[]): Promise<GraphDriver> {
  return await open(directory, ...FUSE.options!, ...options);
}

async function fill(driver: GraphDriver): Promise<void> {
  await driver.create("base");
  await driver.applyDiff(
    "base",
    streamOf(tarOf([{ path: "d/", type: "5", mode: 0o755 }, { path: "d/a", uid: 5, gid: 6 }, { path: "f" }])),
  );
}

/** A program in place of fuse-overlayfs. */
async function makeProgram(directory: TempDir, line: string): Promise<string> {
  const program = directory.join("program");
  await Deno.writeTextFile(program, `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  return program;
}

/** The processes that serve mounts below `directory`. */
async function programsOf(directory: TempDir): Promise<number[]> {
  const pids: number[] = [];
  for (const name of await namesIn("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const words = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (words.includes("fuse-overlayfs") && words.includes(directory.path)) pids.push(Number(name));
  }
  return pids;
}

async function killPrograms(directory: TempDir): Promise<void> {
  const pids = await programsOf(directory);
  assert(pids.length > 0);
  for (const pid of pids) Deno.kill(pid, "SIGKILL");
  while ((await programsOf(directory)).length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

for (const prefix of ["overlay.", "overlay2.", ".", ""]) {
  testNeeding(NEEDS, `the option ${prefix}mount_program has layers mounted by the program`, async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory, `${prefix}mount_program=${PROGRAM}`);
    await fill(driver);
    await driver.createReadWrite("job", { parent: "base" });
    await using job = await driver.get("job");
    assertStringIncludes(await Deno.readTextFile("/proc/self/mountinfo"), `${job.path} `);
    assertEquals((await programsOf(directory)).length, 1);
    const status = new Map(await driver.status());
    assertEquals(status.get("Native Overlay Diff"), "true");
    assertEquals(status.get("Mount Program"), PROGRAM);
  });
}

testNeeding(NEEDS, "a mount program is started once for all users of a layer, and ends with the last", async () => {
  await using directory = await TempDir.make();
  await using driver = await openFuse(directory);
  await fill(driver);
  await driver.createReadWrite("job", { parent: "base" });
  const [first, second] = [await driver.get("job"), await driver.get("job")];
  assertEquals((await programsOf(directory)).length, 1);
  await Deno.writeTextFile(`${first.path}/new`, "written");
  await first[Symbol.asyncDispose]();
  assert(isMountPoint(second.path));
  await second[Symbol.asyncDispose]();
  assert(!isMountPoint(second.path));
  while ((await programsOf(directory)).length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(await Deno.readTextFile(`${(await driver.getMetadata("job")).upperDir}/new`), "written");
});

testNeeding(
  NEEDS,
  "a view whose mount program has died is made again by the same mountAt(), or taken down",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await openFuse(directory);
    await fill(driver);
    await driver.createReadWrite("job", { parent: "base" });
    await driver.createReadWrite("other", { parent: "base" });
    const place = await directory.mkdir("place");
    for (const ids of [["job"], ["job", "other"]]) {
      await driver.mountAt(place, ids);
      await killPrograms(directory);
      await driver.mountAt(place, ids);
      assertEquals(await namesIn(place), ["d", "f"]);
      await killPrograms(directory);
      assert(await driver.unmountAt(place));
      assertEquals(await namesIn(place), []);
    }
    for (const id of ["job", "other"]) await driver.remove(id);
  },
);

testNeeding(NEEDS, "for a mount program whiteouts are files, as containers/storage has it", async () => {
  await using directory = await TempDir.make();
  await using driver = await openFuse(directory);
  await fill(driver);
  await driver.create("child", { parent: "base" });
  const archive = tarOf([{ path: ".wh.f" }, { path: "d/.wh..wh..opq" }, { path: "d/b" }]);
  await driver.applyDiff("child", streamOf(archive));
  const { upperDir } = await driver.getMetadata("child");
  assertEquals(await namesIn(upperDir), [".wh.f", "d"]);
  assertEquals(await namesIn(`${upperDir}/d`), [".wh..wh..opq", "b"]);
  {
    await using child = await driver.get("child");
    assertEquals(await namesIn(child.path), ["d"]);
    assertEquals(await namesIn(`${child.path}/d`), ["b"]);
  }
  assertEquals((await driver.changes("child")).map(({ path, kind }) => `${kind} ${path}`), [
    "modify /d",
    "delete /d/a",
    "add /d/b",
    "delete /f",
  ]);
});

testNeeding(
  NEEDS,
  "a mount program that is none, or that cannot be run, is refused before anything is made",
  async () => {
    await using directory = await TempDir.make();
    await Deno.writeTextFile(directory.join("text"), "");
    for (const program of ["fuse-overlayfs", directory.join("missing"), directory.join("text"), directory.path]) {
      const error = await assertFails(open(directory, `overlay.mount_program=${program}`), "invalid_argument");
      assertStringIncludes(error.message, program);
    }
    assertEquals(await namesIn(directory.path), ["text"]);
    await using driver = await open(directory, "mount_program=");
    await driver.create("base");
  },
);

testNeeding(NEEDS, "a mount program that fails leaves no mount, no count and a layer that can be used", async () => {
  await using directory = await TempDir.make();
  {
    await using driver = await openFuse(directory);
    await fill(driver);
    await driver.createReadWrite("job", { parent: "base" });
  }
  {
    await using driver = await open(
      directory,
      `mount_program=${await makeProgram(directory, "echo no luck >&2; exit 4")}`,
    );
    for (const action of [() => driver.get("job"), () => driver.changes("job", { parent: null })]) {
      const error = await assertFails(action(), "mount_failed");
      assertStringIncludes(error.message, "ended with 4: no luck");
    }
    assertEquals((await Array.fromAsync(driver.layers())).map(({ mounted }) => mounted), [false, false]);
  }
  assertEquals(mountPointsBelow(directory.path), []);
  const left = await listTree(directory.join("run"));
  assertEquals(left.filter((line) => /mounts\/|aside\//.test(line)), []);
  await using driver = await openFuse(directory);
  await using job = await driver.get("job");
  assertEquals(await namesIn(job.path), ["d", "f"]);
});

testNeeding(NEEDS, "a layer whose program died is mounted again, counted anew", async () => {
  await using directory = await TempDir.make();
  await using driver = await openFuse(directory);
  await fill(driver);
  await driver.createReadWrite("job", { parent: "base" });
  await driver.get("job");
  await killPrograms(directory);
  assertEquals((await Array.fromAsync(driver.layers())).map(({ mounted }) => mounted), [false, false]);
  const job = await driver.get("job");
  assertEquals(await namesIn(job.path), ["d", "f"]);
  await job[Symbol.asyncDispose]();
  assert(!isMountPoint(job.path));
});

testNeeding(NEEDS, "a layer whose program died can be put, and removed without force", async () => {
  await using directory = await TempDir.make();
  await using driver = await openFuse(directory);
  await fill(driver);
  for (const id of ["put", "removed"]) {
    await driver.createReadWrite(id, { parent: "base" });
    await driver.get(id);
  }
  await killPrograms(directory);
  await driver.put("put");
  await driver.remove("removed");
  assertEquals(mountPointsBelow(directory.path), []);
  assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base", "put"]);
});

testNeeding(NEEDS, "a mount program shows owners mapped, or squashed, as it is asked to", async () => {
  await using directory = await TempDir.make();
  await using driver = await openFuse(directory, "mountopt=squash_to_root");
  await fill(driver);
  {
    await using base = await driver.get("base", { readOnly: true });
    const { uid, gid } = await Deno.stat(`${base.path}/d/a`);
    assertEquals([uid, gid], [0, 0]);
  }
  const maps = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
  await using plain = await openFuse(directory);
  await using base = await plain.get("base", { idMaps: { uidMaps: maps, gidMaps: maps } });
  const { uid, gid } = await Deno.stat(`${base.path}/d/a`);
  assertEquals([uid, gid], [100_005, 100_006]);
});

testNeeding(
  NEEDS,
  "owners that a mount program keeps in attributes are not told by a layer's own directory",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await openFuse(directory, "mountopt=xattr_permissions=2");
    assertEquals(new Map(await driver.status()).get("Native Overlay Diff"), "false");
  },
);

testNeeding(NEEDS, "a home with a colon in its path is refused by name, and nothing is mounted", async () => {
  await using directory = await TempDir.make();
  await using driver = await openDriver({ ...FUSE, root: directory.join("a:b"), runRoot: directory.join("run") });
  await fill(driver);
  const error = await assertFails(driver.get("base"), "not_supported");
  assertStringIncludes(error.message, "a:b");
  assertEquals(mountPointsBelow(directory.path), []);
});

testNeeding(NEEDS, "a home that was made for a mount program is not mounted without one", async () => {
  await using directory = await TempDir.make();
  {
    await using driver = await openFuse(directory);
    await fill(driver);
  }
  assertEquals((await Deno.readTextFile(directory.join("root/overlay/.has-mount-program"))).trim(), "true");
  await using driver = await open(directory);
  const error = await assertFails(driver.get("base"), "not_supported");
  assertStringIncludes(error.message, ".has-mount-program");
  assertStringIncludes(error.hint ?? "", "mount_program");
  assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base"]);
});

testNeeding(
  NEEDS,
  "a diff has what was written under one of a file's names, also while the layer is mounted",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await openFuse(directory);
    await driver.create("base");
    await driver.applyDiff("base", streamOf(tarOf([{ path: "a", data: "old" }, { path: "b", type: "1", link: "a" }])));
    await driver.createReadWrite("job", { parent: "base" });
    const job = await driver.get("job");
    await Deno.writeTextFile(`${job.path}/a`, "much longer content");
    for (const isMounted of [true, false]) {
      assertEquals(isMountPoint(job.path), isMounted);
      assertEquals(await driver.changes("job"), [{ path: "/a", kind: "modify" }]);
      assertEquals(await driver.diffSize("job"), 19);
      assertStringIncludes(await new Response(await driver.diff("job")).text(), "much longer content");
      await driver.put("job");
    }
  },
);

testNeeding(NEEDS, "a mount that the command line made is served after its end", async () => {
  await using directory = await TempDir.make();
  {
    await using driver = await openFuse(directory);
    await fill(driver);
  }
  const places = [
    "--root",
    directory.join("root"),
    "--run-root",
    directory.join("run"),
    "--driver",
    "containers-overlay",
  ];
  const lamina = (...words: string[]) => runLamina([...places, "--storage-opt", FUSE.options![0]!, ...words]);
  const { stdout } = await lamina("mount", "base");
  assertEquals(await namesIn(stdout.trim()), ["d", "f"]);
  assertEquals((await lamina("mount", "base")).stdout, stdout);
  await lamina("unmount", "base");
  assert(isMountPoint(stdout.trim()));
  await lamina("unmount", "base");
  assert(!isMountPoint(stdout.trim()));
});

testNeeding(NEEDS, "an image store that was made for a mount program is not used without one", async () => {
  await using directory = await TempDir.make();
  {
    await using images = await openFuse(directory);
    await fill(images);
    await images.create("image", { parent: "base" });
    await images.applyDiff("image", streamOf(tarOf([{ path: ".wh.f" }])));
  }
  const places = { ...FUSE, root: directory.join("other"), runRoot: directory.join("other-run") };
  const store = `imagestore=${directory.join("root")}`;
  {
    await using driver = await openDriver({ ...places, options: [store] });
    const error = await assertFails(driver.createReadWrite("job", { parent: "image" }), "not_supported");
    assertStringIncludes(error.message, directory.join("root/overlay"));
  }
  await using driver = await openDriver({ ...places, options: [store, ...FUSE.options!] });
  await driver.createReadWrite("job", { parent: "image" });
  await using job = await driver.get("job");
  assertEquals(await namesIn(job.path), ["d"]);
});

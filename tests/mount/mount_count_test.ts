// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { MountCount } from "../../lib/mount/mount_count.ts";
import { openDriver } from "../../mod.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { isMountPoint } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];
const USER = fileURLToPath(new URL("./_mount_user.ts", import.meta.url));

/** Arguments for Deno that do `verbs` one after the other on the layer "job", in a process of their own. */
function userArgs(directory: TempDir, ...verbs: string[]): string[] {
  return ["run", "--no-lock", "--allow-all", USER, directory.join("root"), directory.join("run"), ...verbs];
}

async function makeJob(directory: TempDir): Promise<string> {
  await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run") });
  await driver.create("base");
  await driver.createReadWrite("job", { parent: "base" });
  return (await driver.getMetadata("job")).mergedDir;
}

Deno.test("MountCount.read() gives each pair of file and mount its one meaning", async () => {
  await using directory = await TempDir.make();
  const count = new MountCount(directory.join("count"));
  assertEquals([count.read(false), count.read(true)], [0, 1]);
  for (const n of [0, 1, 7]) {
    count.write(n);
    assertEquals([count.read(false), count.read(true)], [0, n]);
  }
  for (const damaged of ["no number", "-1", "1e9", ""]) {
    count.clear();
    if (damaged === "") await Deno.writeTextFile(count.file, damaged);
    else await Deno.symlink(damaged, count.file);
    assertEquals([count.read(false), count.read(true)], [0, 1], damaged);
    count.write(3);
    assertEquals(count.read(true), 3);
  }
  count.clear();
  count.clear();
  assertEquals([count.read(false), count.read(true)], [0, 1]);
});

Deno.test("MountCount.write() takes the place of what a killed process left", async () => {
  await using directory = await TempDir.make();
  const count = new MountCount(directory.join("count"));
  count.write(1);
  await Deno.symlink("9", `${count.file}.new`);
  count.write(2);
  assertEquals(count.read(true), 2);
  assertEquals((await Array.fromAsync(Deno.readDir(directory.path))).map(({ name }) => name), ["count"]);
});

testNeeding(NEEDS, "get() twice and put() twice by four processes keeps the mount until the last put()", async () => {
  await using directory = await TempDir.make();
  const mergedDir = await makeJob(directory);
  const seen: boolean[] = [];
  for (const verb of ["get", "get", "put", "put"]) {
    await runOk(Deno.execPath(), userArgs(directory, verb));
    seen.push(isMountPoint(mergedDir));
  }
  assertEquals(seen, [true, true, true, false]);
});

testNeeding(NEEDS, "a layer that somebody else mounted counts as one get()", async () => {
  await using directory = await TempDir.make();
  const mergedDir = await makeJob(directory);
  await runOk(Deno.execPath(), userArgs(directory, "get"));
  await Deno.remove(directory.join("run"), { recursive: true });
  await runOk(Deno.execPath(), userArgs(directory, "get", "put"));
  assert(isMountPoint(mergedDir));
  await runOk(Deno.execPath(), userArgs(directory, "put"));
  assert(!isMountPoint(mergedDir));
});

testNeeding(NEEDS, "eight processes at once end with nothing mounted", async () => {
  await using directory = await TempDir.make();
  const mergedDir = await makeJob(directory);
  const verbs = Array.from({ length: 50 }, () => ["get", "put"]).flat();
  await Promise.all(Array.from({ length: 8 }, () => runOk(Deno.execPath(), userArgs(directory, ...verbs))));
  assert(!isMountPoint(mergedDir));
});

testNeeding(NEEDS, "counts are right again after kill -9", async () => {
  await using directory = await TempDir.make();
  const mergedDir = await makeJob(directory);
  for (let i = 0; i < 12; i++) {
    const user = new Deno.Command(Deno.execPath(), { args: userArgs(directory, "forever"), stdout: "piped" }).spawn();
    const reader = user.stdout.getReader();
    await reader.read();
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
    user.kill("SIGKILL");
    await reader.cancel();
    await user.status;
    // Killed between count and return, one user may be counted who never knew: it is at most one, and one put ends it.
    await runOk(Deno.execPath(), userArgs(directory, "put"));
    assert(!isMountPoint(mergedDir), `after kill ${i}`);
    await runOk(Deno.execPath(), userArgs(directory, "get", "put"));
    assert(!isMountPoint(mergedDir), `after kill ${i} and another user`);
  }
});

testNeeding(NEEDS, "the count goes down to the last user where no inode is free", async () => {
  await using directory = await TempDir.make();
  const place = await directory.mkdir("full");
  await runOk("mount", ["-t", "tmpfs", "-o", "nr_inodes=4", "tmpfs", place]);
  const count = new MountCount(`${place}/count`);
  count.write(3);
  for (const name of ["a", "b"]) await Deno.writeTextFile(`${place}/${name}`, "");
  assertErrno(() => count.write(4), "ENOSPC");
  assertEquals(count.read(true), 3);
  for (const users of [2, 1]) {
    count.lower(users);
    assertEquals(count.read(true), users);
  }
});

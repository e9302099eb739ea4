// SPDX-License-Identifier: Apache-2.0

/** What older versions of Docker's overlay2 checked and did, each behind its option. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { requireFileSystem, requireKernel } from "../../lib/drivers/_overlay2_checks.ts";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { type Logger, SILENT } from "../../lib/log.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { isMountPoint, mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];

async function open(directory: TempDir, ...options: string[]): Promise<GraphDriver> {
  const places = { root: directory.join("root"), runRoot: directory.join("run") };
  return await openDriver({ ...places, driver: "overlay2", options, work: "in-place" });
}

/** Optional fields of the home's line in the mount table: `shared:7` where mounts are told to others. */
async function propagation(mountPoint: string): Promise<string> {
  const { stdout } = await runOk("findmnt", ["--noheadings", "--output=PROPAGATION", "--mountpoint", mountPoint]);
  return stdout.trim();
}

testNeeding(
  NEEDS,
  "overlay2.private_home makes the home a private mount, once, and cleanup takes it back",
  async () => {
    await using directory = await TempDir.make();
    const home = directory.join("root/overlay2");
    for (let i = 0; i < 2; i++) {
      await using driver = await open(directory, "overlay2.private_home=true");
      await driver.create(`base-${i}`);
      assertEquals(mountPointsBelow(directory.path), [home]);
    }
    assertEquals(await propagation(home), "private");
    await using driver = await open(directory, "overlay2.private_home=true");
    await driver.createReadWrite("job", { parent: "base-0" });
    const { path } = await driver.get("job");
    assert(isMountPoint(path));
    await driver.cleanup();
    assertEquals(mountPointsBelow(directory.path), []);
    assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base-0", "base-1", "job"]);
  },
);

testNeeding(NEEDS, "overlay2.private_home knows a home that is reached by a symbolic link", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("real");
  await Deno.symlink("real", directory.join("root"));
  for (let i = 0; i < 2; i++) {
    await using driver = await open(directory, "overlay2.private_home=true");
    await driver.create(`base-${i}`);
    assertEquals(mountPointsBelow(directory.path), [directory.join("real/overlay2")]);
  }
  await using driver = await open(directory, "overlay2.private_home=true");
  await driver.cleanup();
  assertEquals(mountPointsBelow(directory.path), []);
});

testNeeding(NEEDS, "overlay2.private_home refuses a home with mounted layers, and leaves them alone", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await driver.createReadWrite("job", { parent: "base" });
  await using job = await driver.get("job");
  await using other = await open(directory, "overlay2.private_home=true");
  const { message } = await assertFails(other.create("next"), "layer_in_use");
  assertStringIncludes(message, job.path);
  assertEquals(mountPointsBelow(directory.path), [job.path]);
  assert(!await driver.exists("next"));
});

for (const options of [[], ["overlay2.private_home=true"]]) {
  testNeeding(
    NEEDS,
    `cleanup leaves a file system that is mounted as the home, with ${options[0] ?? "no option"}`,
    async () => {
      await using directory = await TempDir.make();
      const home = await directory.mkdir("root", "overlay2").then(() => directory.join("root/overlay2"));
      await Deno.mkdir(home, { recursive: true });
      await runOk("mount", ["-t", "tmpfs", "tmpfs", home]);
      await using driver = await open(directory, ...options);
      await driver.create("base");
      await driver.createReadWrite("job", { parent: "base" });
      await driver.get("job");
      await driver.cleanup();
      assertEquals(mountPointsBelow(directory.path), [home]);
      assert(await driver.exists("job"));
    },
  );
}

testNeeding(NEEDS, "overlay2.check_backing_fs refuses a home on an overlay by its name", async () => {
  await using directory = await TempDir.make();
  for (const name of ["lower", "upper", "work", "root"]) await directory.mkdir(name);
  const data = "lowerdir=lower,upperdir=upper,workdir=work";
  await runOk("mount", ["-t", "overlay", "overlay", "-o", data, "root"], { cwd: directory.path });
  await using driver = await open(directory, "overlay2.check_backing_fs=true");
  const { message } = await assertFails(driver.create("base"), "incompatible_filesystem");
  assertStringIncludes(message, "overlay2 refuses overlayfs");
  assert(!await driver.exists("base"));
});

testNeeding(NEEDS, "overlay2's checks let a new kernel and a proper file system pass", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory, "overlay2.check_backing_fs=true", "overlay2.check_kernel=true");
  await driver.create("base");
  assert(await driver.exists("base"));
});

Deno.test("requireFileSystem() refuses what the versions of 2017 and 2018 refused", async () => {
  for (const name of ["aufs", "ecryptfs", "nfs", "overlayfs", "zfs"]) {
    await assertFails(Promise.resolve().then(() => requireFileSystem("/home", name)), "incompatible_filesystem");
  }
  for (const name of ["extfs", "xfs", "btrfs", "tmpfs", "<unknown>"]) requireFileSystem("/home", name);
});

/** A kernel, a file system, and whether Docker's driver of 2018 took them. */
const KERNELS: readonly [release: string, fileSystem: string, isTaken: boolean][] = [
  ["3.18.0-generic", "extfs", false],
  ["4.0", "extfs", true],
  ["4.0.0-rc1", "extfs", true],
  ["4.6.7", "btrfs", false],
  ["4.7.0", "btrfs", true],
  ["4.14.1", "btrfs", true],
  ["10.0.0", "btrfs", true],
  ["6.12.9-amd64", "xfs", true],
  ["something", "extfs", true],
];

Deno.test("requireKernel() compares versions as numbers, and warns of an old one where it is overridden", async () => {
  for (const [release, fileSystem, isTaken] of KERNELS) {
    const warnings: string[] = [];
    const logger: Logger = { ...SILENT, warn: (message) => warnings.push(message) };
    requireKernel(release, fileSystem, true, logger);
    assertEquals(warnings.length, isTaken ? 0 : 1, `${release} on ${fileSystem}`);
    const strict = Promise.resolve().then(() => requireKernel(release, fileSystem, false, SILENT));
    if (isTaken) await strict;
    else assertStringIncludes((await assertFails(strict, "not_supported")).message, release);
  }
});

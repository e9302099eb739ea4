// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { ERRNO } from "../../ffi/errno.ts";
import {
  MNT_DETACH,
  mount,
  MS_BIND,
  MS_NODEV,
  MS_RDONLY,
  MS_REMOUNT,
  tryUmount2Beside,
  umount2,
} from "../../ffi/mount.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { isMountPoint } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

async function overlayDirectories(): Promise<TempDir> {
  const directory = await TempDir.make();
  await directory.mkdir("lower1", "lower2", "upper", "work", "merged");
  await Deno.writeTextFile(directory.join("lower1/a"), "1");
  await Deno.writeTextFile(directory.join("lower2/b"), "2");
  return directory;
}

testNeeding([needsRoot], "mount() and umount2() of a tmpfs with options", async () => {
  await using directory = await TempDir.make();
  mount("tmpfs", directory.path, "tmpfs", MS_NODEV, "size=1m,mode=0711");
  assert(isMountPoint(directory.path));
  const { stdout } = await runOk("findmnt", ["-n", "-o", "FSTYPE,OPTIONS", directory.path]);
  assert(/^tmpfs\s.*nodev.*size=1024k.*mode=711/.test(stdout), stdout);
  umount2(directory.path, 0);
  assert(!isMountPoint(directory.path));
});

testNeeding([needsRoot], "mount() binds and remounts read-only, with NULL where C takes it", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("from", "to");
  mount(directory.join("from"), directory.join("to"), null, MS_BIND, null);
  await Deno.writeTextFile(directory.join("to/file"), "x");
  assertEquals(await Deno.readTextFile(directory.join("from/file")), "x");
  mount(null, directory.join("to"), null, MS_REMOUNT | MS_BIND | MS_RDONLY, null);
  const error = await assertRejects(() => Deno.writeTextFile(directory.join("to/file"), "y"), Error);
  assert(error.message.includes("Read-only file system"), error.message);
});

testNeeding(
  [needsRoot, needsOverlay],
  "mount() stacks an overlay, and what is written goes to the upper directory",
  async () => {
    await using directory = await overlayDirectories();
    const [lower1, lower2, upper, work] = ["lower1", "lower2", "upper", "work"].map((name) => directory.join(name));
    const data = `lowerdir=${lower1}:${lower2},upperdir=${upper},workdir=${work}`;
    mount("overlay", directory.join("merged"), "overlay", 0, data);
    assertEquals(await Deno.readTextFile(directory.join("merged/a")), "1");
    assertEquals(await Deno.readTextFile(directory.join("merged/b")), "2");
    await Deno.writeTextFile(directory.join("merged/c"), "3");
    assertEquals(await Deno.readTextFile(directory.join("upper/c")), "3");
    umount2(directory.join("merged"), 0);
  },
);

testNeeding([needsRoot], "a mount that fails says the whole call", async () => {
  await using directory = await overlayDirectories();
  const merged = directory.join("merged");
  const error = assertErrno(() => mount("overlay", merged, "overlay", MS_RDONLY, "lowerdir=/nonexistent"), "ENOENT");
  assertEquals(error.message, `mount("overlay", "${merged}", "overlay", 0x1, "lowerdir=/nonexistent"): ENOENT`);
  assertEquals(error.errno, ERRNO.ENOENT);
});

testNeeding([needsRoot], "mount() answers EINVAL, ENODEV, ENOENT and ENOTDIR", async () => {
  await using directory = await TempDir.make();
  await Deno.writeTextFile(directory.join("file"), "");
  assertErrno(() => mount("tmpfs", directory.path, "tmpfs", 0, "nonsense=1"), "EINVAL");
  assertErrno(() => mount("x", directory.path, "no-such-fs", 0, null), "ENODEV");
  assertErrno(() => mount("tmpfs", directory.join("missing"), "tmpfs", 0, null), "ENOENT");
  assertErrno(() => mount("tmpfs", directory.join("file"), "tmpfs", 0, null), "ENOTDIR");
});

testNeeding([needsRoot], "umount2() answers EINVAL, ENOENT and EBUSY, and MNT_DETACH does not mind", async () => {
  await using directory = await TempDir.make();
  assertErrno(() => umount2(directory.path, 0), "EINVAL");
  assertErrno(() => umount2(directory.join("missing"), MNT_DETACH), "ENOENT");
  mount("tmpfs", directory.path, "tmpfs", 0, null);
  using busy = await Deno.open(directory.join("file"), { write: true, create: true });
  assertErrno(() => umount2(directory.path, 0), "EBUSY");
  umount2(directory.path, MNT_DETACH);
  assert(!isMountPoint(directory.path));
  await busy.write(new Uint8Array(1));
});

testNeeding([needsRoot], "tryUmount2Beside() unmounts, or tells by false that it did not", async () => {
  await using directory = await TempDir.make();
  assertEquals(await tryUmount2Beside(directory.path, 0), false);
  mount("tmpfs", directory.path, "tmpfs", 0, null);
  assertEquals(await tryUmount2Beside(directory.path, 0), true);
  assert(!isMountPoint(directory.path));
  await assertRejects(() => tryUmount2Beside("/x\0", 0), TypeError);
});

testNeeding([needsRoot], "umount2() does not follow a symbolic link at the end", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("mounted");
  mount("tmpfs", directory.join("mounted"), "tmpfs", 0, null);
  await Deno.symlink("mounted", directory.join("link"));
  assertErrno(() => umount2(directory.join("link"), MNT_DETACH), "EINVAL");
  assert(isMountPoint(directory.join("mounted")));
});

Deno.test("mount() and umount2() refuse NUL in every string", () => {
  const calls = [
    () => mount("a\0b", "/x", "tmpfs", 0, null),
    () => mount("tmpfs", "/x\0", "tmpfs", 0, null),
    () => mount("tmpfs", "/x", "tmp\0fs", 0, null),
    () => mount("tmpfs", "/x", "tmpfs", 0, "size=1\0"),
    () => umount2("/x\0", 0),
  ];
  for (const call of calls) assertThrows(call, TypeError, "contains NUL");
});

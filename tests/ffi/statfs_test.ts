// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { AT_FDCWD, Fd, O_RDONLY, openat } from "../../ffi/file.ts";
import { MS_NODEV, MS_RDONLY } from "../../ffi/mount.ts";
import { fstatfs, OVERLAYFS_SUPER_MAGIC, statfs, TMPFS_MAGIC } from "../../ffi/statfs.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { assertEquals, assertThrows } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

Deno.test("statfs() and fstatfs() give the magic number that stat(1) gives", async () => {
  for (const path of ["/", "/proc", "/sys", "/dev", "/var/tmp"]) {
    const { stdout } = await runOk("stat", ["-f", "-c", "%t", path]);
    assertEquals(statfs(path).type.toString(16), stdout.trim());
    using fd = new Fd(openat(AT_FDCWD, path, O_RDONLY));
    assertEquals(fstatfs(fd.fd).type.toString(16), stdout.trim());
  }
  assertEquals(statfs("/proc").name, "proc");
  assertEquals(statfs("/sys").name, "<unknown>");
});

testNeeding(
  [needsRoot],
  "statfs() tells the space of a tmpfs of known size, its name, and how it is mounted",
  async () => {
    await using directory = await TempDir.make();
    await runOk("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", directory.path]);
    const { mountFlags, ...space } = statfs(directory.path);
    assertEquals(space, { type: TMPFS_MAGIC, name: "tmpfs", availableBytes: 8 << 20 });
    assertEquals(mountFlags & (MS_RDONLY | MS_NODEV), 0);
    await runOk("mount", ["-o", "remount,bind,ro,nodev", directory.path]);
    assertEquals(statfs(directory.path).mountFlags & (MS_RDONLY | MS_NODEV), MS_RDONLY | MS_NODEV);
  },
);

testNeeding([needsRoot, needsOverlay], "statfs() recognises an overlay", async () => {
  await using directory = await TempDir.make();
  for (const name of ["a", "b", "m"]) await Deno.mkdir(directory.join(name));
  const data = `lowerdir=${directory.join("a")}:${directory.join("b")}`;
  await runOk("mount", ["-t", "overlay", "overlay", "-o", data, directory.join("m")]);
  assertEquals(statfs(directory.join("m")).type, OVERLAYFS_SUPER_MAGIC);
  assertEquals(statfs(directory.join("m")).name, "overlayfs");
});

Deno.test("statfs() and fstatfs() answer errors", () => {
  assertErrno(() => statfs("/nonexistent"), "ENOENT");
  assertErrno(() => statfs("/etc/passwd/x"), "ENOTDIR");
  assertErrno(() => fstatfs(1_000_000), "EBADF");
  assertThrows(() => statfs("/\0"), TypeError, "contains NUL");
});

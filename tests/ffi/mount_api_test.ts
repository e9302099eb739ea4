// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { CLONE_NEWUSER, endSleeper, startSleeper } from "../../ffi/child.ts";
import { AT_FDCWD, AT_RECURSIVE, Fd, O_DIRECTORY, O_PATH, O_RDONLY, openat } from "../../ffi/file.ts";
import { mount, umount2 } from "../../ffi/mount.ts";
import {
  fsContextMessages,
  fsmount,
  LONGEST_FSCONFIG_STRING,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_RDONLY,
  mount_setattr_idmap,
  move_mount,
  open_tree,
  tryFsconfigCreate,
  tryFsconfigFd,
  tryFsconfigFlag,
  tryFsconfigString,
  tryFsopen,
  tryMountSetattr,
} from "../../ffi/mount_api.ts";
import { statfs } from "../../ffi/statfs.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { isMountPoint } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, type Requirement, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const needsFsopen: Requirement = {
  name: "fsopen",
  missing(): string | undefined {
    const fd = tryFsopen("tmpfs");
    if (fd < 0) return `needs fsopen(2), which answers -${-fd}`;
    new Fd(fd)[Symbol.dispose]();
    return undefined;
  },
};

/** Overlays take their lower directories one by one since Linux 6.8. */
const needsLowerdirPlus: Requirement = {
  name: "lowerdir+",
  missing(): string | undefined {
    using context = new Fd(tryFsopen("overlay"));
    const result = tryFsconfigString(context.fd, "lowerdir+", "/");
    return result === 0 ? undefined : `needs the overlay option lowerdir+ (Linux 6.8): errno ${-result}`;
  },
};

const NEEDS = [needsRoot, needsFsopen];
const NEEDS_OVERLAY = [...NEEDS, needsOverlay, needsLowerdirPlus];

testNeeding(NEEDS, "fsopen(), fsconfig(), fsmount() and move_mount() mount a tmpfs", async () => {
  await using directory = await TempDir.make();
  using context = new Fd(tryFsopen("tmpfs"));
  assertEquals(tryFsconfigString(context.fd, "size", "1m"), 0);
  assertEquals(tryFsconfigCreate(context.fd), 0);
  using mounted = new Fd(fsmount(context.fd, MOUNT_ATTR_NODEV));
  move_mount(mounted.fd, directory.path);
  assert(isMountPoint(directory.path));
  const { stdout } = await runOk("findmnt", ["-n", "-o", "OPTIONS", directory.path]);
  assert(/nodev.*size=1024k/.test(stdout), stdout);
  // An open descriptor of the mount keeps it busy.
  assertErrno(() => umount2(directory.path, 0), "EBUSY");
  mounted[Symbol.dispose]();
  umount2(directory.path, 0);
});

testNeeding(NEEDS_OVERLAY, "an overlay of 100 lower directories by lowerdir+, longer than a page", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("upper", "work", "merged");
  using context = new Fd(tryFsopen("overlay"));
  const long = "lower-".repeat(20);
  for (let i = 0; i < 100; i++) {
    const lower = await directory.mkdir(`${long}${i}`);
    await Deno.writeTextFile(`${lower}/file-${i}`, `${i}`);
    await Deno.writeTextFile(`${lower}/top`, `${i}`);
    assertEquals(tryFsconfigString(context.fd, "lowerdir+", lower), 0, fsContextMessages(context.fd));
  }
  assertEquals(tryFsconfigString(context.fd, "upperdir", directory.join("upper")), 0);
  assertEquals(tryFsconfigString(context.fd, "workdir", directory.join("work")), 0);
  assertEquals(tryFsconfigCreate(context.fd), 0, fsContextMessages(context.fd));
  using mounted = new Fd(fsmount(context.fd, 0));
  move_mount(mounted.fd, directory.join("merged"));
  assertEquals(await Deno.readTextFile(directory.join("merged/top")), "0");
  assertEquals(await Deno.readTextFile(directory.join("merged/file-99")), "99");
  await Deno.writeTextFile(directory.join("merged/new"), "x");
  assertEquals(await Deno.readTextFile(directory.join("upper/new")), "x");
});

testNeeding(NEEDS_OVERLAY, "fsconfig() takes a lower directory as a descriptor, where the kernel does", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("a", "b", "merged");
  await Deno.writeTextFile(directory.join("a/file"), "a");
  using context = new Fd(tryFsopen("overlay"));
  using a = new Fd(openat(AT_FDCWD, directory.join("a"), O_PATH | O_DIRECTORY));
  const result = tryFsconfigFd(context.fd, "lowerdir+", a.fd);
  // Linux 6.13 is the first that does; before, EINVAL is the right answer.
  if (result === -ERRNO.EINVAL) return;
  assertEquals(result, 0, fsContextMessages(context.fd));
  assertEquals(tryFsconfigString(context.fd, "lowerdir+", directory.join("b")), 0);
  assertEquals(tryFsconfigCreate(context.fd), 0, fsContextMessages(context.fd));
  using mounted = new Fd(fsmount(context.fd, MOUNT_ATTR_RDONLY));
  move_mount(mounted.fd, directory.join("merged"));
  assertEquals(await Deno.readTextFile(directory.join("merged/file")), "a");
});

testNeeding(NEEDS, "fsconfig() answers EINVAL for an unknown option, and the context says which", () => {
  using context = new Fd(tryFsopen("overlay"));
  assertEquals(tryFsconfigString(context.fd, "nonsense", "x"), -ERRNO.EINVAL);
  assertStringIncludes(fsContextMessages(context.fd), "nonsense");
  assertEquals(fsContextMessages(context.fd), "");
  assertEquals(tryFsconfigFlag(context.fd, "nonsense"), -ERRNO.EINVAL);
});

testNeeding(NEEDS, "fsconfig() refuses a string over LONGEST_FSCONFIG_STRING without a word", () => {
  using context = new Fd(tryFsopen("overlay"));
  assertEquals(tryFsconfigString(context.fd, "source", "x".repeat(LONGEST_FSCONFIG_STRING)), 0);
  using other = new Fd(tryFsopen("overlay"));
  assertEquals(tryFsconfigString(other.fd, "source", "x".repeat(LONGEST_FSCONFIG_STRING + 1)), -ERRNO.EINVAL);
  assertEquals(fsContextMessages(other.fd), "");
});

testNeeding(NEEDS_OVERLAY, "fsconfig() takes a flag: userxattr, volatile", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("lower", "upper", "work", "merged");
  using context = new Fd(tryFsopen("overlay"));
  assertEquals(tryFsconfigFlag(context.fd, "volatile"), 0);
  assertEquals(tryFsconfigString(context.fd, "lowerdir+", directory.join("lower")), 0);
  assertEquals(tryFsconfigString(context.fd, "upperdir", directory.join("upper")), 0);
  assertEquals(tryFsconfigString(context.fd, "workdir", directory.join("work")), 0);
  assertEquals(tryFsconfigCreate(context.fd), 0, fsContextMessages(context.fd));
  using mounted = new Fd(fsmount(context.fd, 0));
  move_mount(mounted.fd, directory.join("merged"));
  const { stdout } = await runOk("findmnt", ["-n", "-o", "OPTIONS", directory.join("merged")]);
  assertStringIncludes(stdout, "volatile");
});

testNeeding(NEEDS, "fsopen() answers ENODEV; the calls on a wrong descriptor EBADF", () => {
  assertEquals(tryFsopen("no-such-fs"), -ERRNO.ENODEV);
  assertEquals(tryFsconfigFlag(1_000_000, "ro"), -ERRNO.EBADF);
  assertEquals(tryFsconfigCreate(1_000_000), -ERRNO.EBADF);
  assertErrno(() => fsmount(1_000_000, 0), "EBADF");
  assertErrno(() => move_mount(1_000_000, "/"), "EBADF");
});

testNeeding(NEEDS, "fsmount() answers EINVAL before create; move_mount() ENOENT for a missing target", async () => {
  await using directory = await TempDir.make();
  using context = new Fd(tryFsopen("tmpfs"));
  assertErrno(() => fsmount(context.fd, 0), "EINVAL");
  assertEquals(tryFsconfigCreate(context.fd), 0);
  using mounted = new Fd(fsmount(context.fd, 0));
  const error = assertErrno(() => move_mount(mounted.fd, directory.join("missing")), "ENOENT");
  assertEquals(error.message, `move_mount(${mounted.fd}, "", -100, "${directory.join("missing")}", 0x4): ENOENT`);
});

testNeeding(NEEDS, "open_tree() copies a mount, and answers ENOENT", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("from", "to");
  await Deno.writeTextFile(directory.join("from/file"), "x");
  using tree = new Fd(open_tree(directory.join("from")));
  move_mount(tree.fd, directory.join("to"));
  assertEquals(await Deno.readTextFile(directory.join("to/file")), "x");
  assertErrno(() => open_tree(directory.join("missing")), "ENOENT");
});

testNeeding(NEEDS, "tryMountSetattr() sets flags of a mount that nobody sees yet, and answers EBADF", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("from", "to");
  using tree = new Fd(open_tree(directory.join("from")));
  assertEquals(tryMountSetattr(tree.fd, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV), 0);
  move_mount(tree.fd, directory.join("to"));
  assertEquals(statfs(directory.join("to")).mountFlags & 0xf, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV);
  await Deno.writeTextFile(directory.join("from/file"), "x");
  assertEquals(tryMountSetattr(1_000_000, MOUNT_ATTR_RDONLY), -ERRNO.EBADF);
});

testNeeding(NEEDS, "open_tree() and tryMountSetattr() take what is mounted below with AT_RECURSIVE", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("from/below", "to");
  mount("tmpfs", directory.join("from/below"), "tmpfs", 0, null);
  using tree = new Fd(open_tree(directory.join("from"), AT_RECURSIVE));
  assertEquals(tryMountSetattr(tree.fd, MOUNT_ATTR_RDONLY, AT_RECURSIVE), 0);
  move_mount(tree.fd, directory.join("to"));
  assert(isMountPoint(directory.join("to/below")));
  for (const path of ["to", "to/below"]) {
    assertEquals(statfs(directory.join(path)).mountFlags & MOUNT_ATTR_RDONLY, MOUNT_ATTR_RDONLY);
  }
  await Deno.writeTextFile(directory.join("from/below/file"), "x");
});

Deno.test("the mount calls refuse NUL in every string", () => {
  const calls = [
    () => tryFsopen("tmp\0fs"),
    () => tryFsconfigFlag(0, "a\0b"),
    () => tryFsconfigString(0, "a\0b", "x"),
    () => tryFsconfigString(0, "a", "x\0"),
    () => tryFsconfigFd(0, "a\0b", 0),
    () => move_mount(0, "a\0b"),
    () => open_tree("a\0b"),
  ];
  for (const call of calls) assertThrows(call, TypeError, "contains NUL");
});

testNeeding(NEEDS, "mount_setattr_idmap() has a clone show the ids of a user namespace", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("from", "to");
  await Deno.chown(directory.join("from"), 3, 4);
  const pid = startSleeper(CLONE_NEWUSER, 60);
  try {
    for (const kind of ["uid", "gid"]) await Deno.writeTextFile(`/proc/${pid}/${kind}_map`, "0 5000 10");
    using namespace = new Fd(openat(AT_FDCWD, `/proc/${pid}/ns/user`, O_RDONLY));
    using tree = new Fd(open_tree(directory.join("from")));
    mount_setattr_idmap(tree.fd, namespace.fd);
    move_mount(tree.fd, directory.join("to"));
    const { uid, gid } = await Deno.stat(directory.join("to"));
    assertEquals([uid, gid], [5003, 5004]);
    // What is mapped once is not mapped again, and a file is no namespace.
    assertErrno(() => mount_setattr_idmap(tree.fd, namespace.fd), "EPERM");
    using other = new Fd(open_tree(directory.join("from")));
    assertErrno(() => mount_setattr_idmap(other.fd, tree.fd), "EBADF");
  } finally {
    endSleeper(pid);
  }
});

// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import {
  diskQuotaFor,
  getProject,
  hasQuotactlFd,
  hasQuotas,
  parseDiskQuota,
  parseQuotaState,
  projectQuotaState,
  projectUsage,
  setProject,
  setProjectLimit,
} from "../../ffi/quota.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { EXT4, mountImage, needsImage, QUOTA_IMAGES, XFS } from "../_helpers/loop_images.ts";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { assertEquals, assertMatch } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

function open(path: string): Fd {
  return new Fd(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
}

function viewOf(base64: string): DataView {
  return new DataView(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer);
}

/*
 * Recorded on Linux 6.1.192 (x86-64) on loop images: what quotactl_fd(2) filled in, called from Python by ctypes. The
 * project 70000 had a limit of 10 MiB; on XFS one directory and a file of 5 MiB, on ext4 the directory alone.
 */
const RECORDED = {
  xfsState:
    "AQAwAAEAAAD//////////wAAAAAAAAAAAAAAAAAAAAD//////////wAAAAAAAAAAAAAAAAAAAACDAAAAAAAAAAEAAAAAAAAAAQAAAAAAAACAOgkAgDoJAIA6CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
  xfsQuota:
    "AQIAAHARAQAAUAAAAAAAAABQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAoAAAAAAAAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
  ext4State:
    "AQA1AAAAAAADAAAAAAAAAAwAAAAAAAAAAQAAAAAAAAAEAAAAAAAAAAwAAAAAAAAAAQAAAAAAAAAMAAAAAAAAAAwAAAAAAAAAAQAAAAAAAACAOgkAgDoJAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
  ext4StateNotEnforced:
    "AQAVAAAAAAADAAAAAAAAAAwAAAAAAAAAAQAAAAAAAAAEAAAAAAAAAAwAAAAAAAAAAQAAAAAAAAAMAAAAAAAAABAAAAAAAAAAAQAAAAAAAACAOgkAgDoJAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
  ext4Quota:
    "AQIAAHARAQAAUAAAAAAAAABQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIAAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
};

Deno.test("parseQuotaState() and parseDiskQuota() read what the kernel said of XFS and ext4", () => {
  assertEquals(parseQuotaState(viewOf(RECORDED.xfsState)), { accounting: true, enforcement: true });
  assertEquals(parseQuotaState(viewOf(RECORDED.ext4State)), { accounting: true, enforcement: true });
  assertEquals(parseQuotaState(viewOf(RECORDED.ext4StateNotEnforced)), { accounting: true, enforcement: false });
  const limitBytes = 10 << 20;
  assertEquals(parseDiskQuota(viewOf(RECORDED.xfsQuota)), { limitBytes, usedBytes: 5 << 20, usedInodes: 2 });
  assertEquals(parseDiskQuota(viewOf(RECORDED.ext4Quota)), { limitBytes, usedBytes: 1024, usedInodes: 1 });
});

Deno.test("diskQuotaFor() rounds a limit up, so that a small one is not none", () => {
  const limitOf = (bytes: number): number => parseDiskQuota(new DataView(diskQuotaFor(7, bytes).buffer)).limitBytes;
  assertEquals([0, 1, 512, 513, 2 ** 52].map(limitOf), [0, 512, 512, 1024, 2 ** 52]);
});

testNeeding(
  [needsRoot, needsProgram("mkfs.xfs"), needsProgram("xfs_io"), needsImage("XFS", XFS)],
  "setProject() is what xfs_io sees, hands the project on and keeps other attributes",
  async () => {
    await using directory = await TempDir.make();
    const mounted = await mountImage(directory, "at", XFS);
    await runOk("bash", ["-ec", "mkdir d; xfs_io -c 'extsize 64k' -c 'chattr +d' d"], { cwd: mounted });
    using fd = open(`${mounted}/d`);
    assertEquals(getProject(fd.fd), { id: 0, inherited: false });
    setProject(fd.fd, { id: 0xfffffffe, inherited: true });
    assertEquals(getProject(fd.fd), { id: 0xfffffffe, inherited: true });
    await Deno.mkdir(`${mounted}/d/e`);
    using below = open(`${mounted}/d/e`);
    assertEquals(getProject(below.fd), { id: 0xfffffffe, inherited: true });
    const stat = async (): Promise<string> => (await runOk("xfs_io", ["-r", "-c", "stat", `${mounted}/d`])).stdout;
    assertMatch(await stat(), /projid = 4294967294/);
    assertMatch(await stat(), /fsxattr\.xflags = .*\[.*d.*P.*\]/);
    setProject(fd.fd, { id: 7, inherited: false });
    assertEquals(getProject(fd.fd), { id: 7, inherited: false });
    assertMatch(await stat(), /fsxattr\.extsize = 65536/);
    assertMatch(await stat(), /fsxattr\.xflags = .*\[[^P]*d[^P]*\]/);
  },
);

testNeeding(
  [needsRoot, needsProgram("mkfs.ext4"), needsImage("ext4 in a file", EXT4)],
  "without the feature project ext4 has no project to give",
  async () => {
    await using directory = await TempDir.make();
    using fd = open(await mountImage(directory, "at", EXT4));
    assertEquals(getProject(fd.fd), { id: 0, inherited: false });
    assertErrno(() => setProject(fd.fd, { id: 7, inherited: true }), "EOPNOTSUPP");
  },
);

for (const [name, image] of Object.entries(QUOTA_IMAGES)) {
  const needs = [needsRoot, needsProgram(image.mkfs[0]!), needsImage(`project quotas on ${name}`, image)];
  testNeeding(needs, `${name}: limits and usage by descriptor and by device are the same`, async () => {
    await using directory = await TempDir.make();
    const mounted = await mountImage(directory, "at", image);
    using fd = open(mounted);
    const device = (await runOk("findmnt", ["-no", "SOURCE", mounted])).stdout.trim();
    await Deno.mkdir(`${mounted}/d`);
    using inside = open(`${mounted}/d`);
    for (const target of [fd.fd, device]) {
      assertEquals(projectQuotaState(target), { accounting: true, enforcement: true });
      assertEquals(projectUsage(target, 4_000_000_000), { limitBytes: 0, usedBytes: 0, usedInodes: 0 });
      setProject(inside.fd, { id: 70000, inherited: true });
      setProjectLimit(target, 70000, 10 << 20);
      for (const other of [fd.fd, device]) {
        const { limitBytes, usedInodes } = projectUsage(other, 70000);
        assertEquals({ limitBytes, usedInodes }, { limitBytes: 10 << 20, usedInodes: 1 });
      }
      setProjectLimit(target, 70000, 0);
      assertEquals(projectUsage(target, 70000).limitBytes, 0);
    }
  });
}

testNeeding(
  [needsRoot, needsImage("ext4 in a file", EXT4)],
  "where no quota is on, a file system has no state",
  async () => {
    await using directory = await TempDir.make();
    using fd = open(await mountImage(directory, "at", EXT4));
    assertEquals(projectQuotaState(fd.fd), undefined);
    assertEquals(hasQuotas(fd.fd), true);
    using proc = open("/proc");
    assertEquals([projectQuotaState(proc.fd), hasQuotas(proc.fd)], [undefined, false]);
  },
);

Deno.test("quotactl_fd() and quotactl() answer errors", async () => {
  await using directory = await TempDir.make();
  await Deno.writeTextFile(directory.join("file"), "");
  if (hasQuotactlFd()) {
    assertErrno(() => projectQuotaState(1_000_000), "EBADF");
    assertErrno(() => setProjectLimit(1_000_000, 7, 512), "EBADF");
  }
  assertErrno(() => projectQuotaState(directory.join("file")), "ENOTBLK");
  assertErrno(() => setProjectLimit(directory.join("nothing"), 7, 512), "ENOENT");
  using proc = open("/proc");
  assertErrno(() => getProject(proc.fd), "ENOTTY");
  assertErrno(() => getProject(-1), "EBADF");
});

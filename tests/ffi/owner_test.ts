// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { AT_FDCWD, Fd, O_RDONLY, openat } from "../../ffi/file.ts";
import { fchmod, fchmodat, fchown, futimens, lchmodat, lchownat, lmtimeat, lutimesat } from "../../ffi/owner.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { assertEquals, assertThrows } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const BAD_FD = 1_000_000;

async function statOf(path: string, format: string): Promise<string> {
  return (await runOk("stat", ["-c", format, path])).stdout.trim();
}

/** A directory with a file and a link to it, and the file open. */
async function fixture(): Promise<{ directory: TempDir; file: string; link: string; fd: Fd }> {
  const directory = await TempDir.make();
  const file = directory.join("file");
  const link = directory.join("link");
  await Deno.writeTextFile(file, "");
  await Deno.symlink("file", link);
  return { directory, file, link, fd: new Fd(openat(AT_FDCWD, file, O_RDONLY)) };
}

testNeeding([needsRoot], "fchown() and lchownat() take ids above 2^31, and the link itself", async () => {
  const { directory, file, link, fd } = await fixture();
  await using _directory = directory;
  using _fd = fd;
  fchown(fd.fd, 1000, 2000);
  assertEquals(await statOf(file, "%u:%g"), "1000:2000");
  lchownat(AT_FDCWD, link, 4_294_967_294, 3_000_000_000);
  assertEquals(await statOf(link, "%u:%g"), "4294967294:3000000000");
  assertEquals(await statOf(file, "%u:%g"), "1000:2000");
  lchownat(AT_FDCWD, file, 4_294_967_295, 7);
  assertEquals(await statOf(file, "%u:%g"), "1000:7");
});

Deno.test("fchmod() and fchmodat() set all twelve bits; fchmodat() follows a link", async () => {
  const { directory, file, link, fd } = await fixture();
  await using _directory = directory;
  using _fd = fd;
  fchmod(fd.fd, 0o7751);
  assertEquals(await statOf(file, "%a"), "7751");
  fchmodat(AT_FDCWD, link, 0o4000);
  assertEquals(await statOf(file, "%a"), "4000");
});

Deno.test("lchmodat() sets all twelve bits, and refuses a link without following it", async () => {
  const { directory, file, link, fd } = await fixture();
  await using _directory = directory;
  using _fd = fd;
  lchmodat(AT_FDCWD, file, 0o7751);
  assertErrno(() => lchmodat(AT_FDCWD, link, 0o4000), "EOPNOTSUPP");
  assertEquals(await statOf(file, "%a"), "7751");
});

const TIMES: readonly { seconds: number; nanoseconds: number; stat: string }[] = [
  { seconds: 0, nanoseconds: 0, stat: "0.000000000" },
  { seconds: 1_680_674_828, nanoseconds: 123_456_789, stat: "1680674828.123456789" },
  { seconds: -2, nanoseconds: 250_000_000, stat: "-1.750000000" },
  { seconds: -2_000_000_000, nanoseconds: 0, stat: "-2000000000.000000000" },
  { seconds: 4_260_211_200, nanoseconds: 1, stat: "4260211200.000000001" },
];
for (const { seconds, nanoseconds, stat } of TIMES) {
  Deno.test(`futimens(), lutimesat() and lmtimeat() set ${stat}`, async () => {
    const { directory, file, link, fd } = await fixture();
    await using _directory = directory;
    using _fd = fd;
    futimens(fd.fd, seconds, nanoseconds);
    assertEquals(await statOf(file, "%.9Y %.9X"), `${stat} ${stat}`);
    lutimesat(AT_FDCWD, link, seconds, nanoseconds);
    assertEquals(await statOf(link, "%.9Y %.9X"), `${stat} ${stat}`);
    futimens(fd.fd, 5, 5);
    lmtimeat(AT_FDCWD, file, seconds, nanoseconds);
    assertEquals(await statOf(file, "%.9Y %.9X"), `${stat} 5.000000005`);
  });
}

Deno.test("owners, modes and times of a link leave its target alone", async () => {
  const { directory, file, link, fd } = await fixture();
  await using _directory = directory;
  using _fd = fd;
  futimens(fd.fd, 100, 0);
  lutimesat(AT_FDCWD, link, 200, 0);
  assertEquals([await statOf(file, "%Y"), await statOf(link, "%Y")], ["100", "200"]);
});

Deno.test("owner calls answer ENOENT, EBADF and EINVAL", () => {
  const missing = "/nonexistent/file";
  assertErrno(() => lchownat(AT_FDCWD, missing, 0, 0), "ENOENT");
  assertErrno(() => fchmodat(AT_FDCWD, missing, 0), "ENOENT");
  assertErrno(() => lutimesat(AT_FDCWD, missing, 0, 0), "ENOENT");
  assertErrno(() => lmtimeat(AT_FDCWD, missing, 0, 0), "ENOENT");
  assertErrno(() => fchown(BAD_FD, 0, 0), "EBADF");
  assertErrno(() => fchmod(BAD_FD, 0), "EBADF");
  assertErrno(() => futimens(BAD_FD, 0, 0), "EBADF");
  assertErrno(() => lutimesat(AT_FDCWD, "/etc/passwd", 0, 1_000_000_000), "EINVAL");
});

Deno.test("owner calls refuse a name with NUL", () => {
  const calls = [
    () => lchownat(AT_FDCWD, "a\0b", 0, 0),
    () => fchmodat(AT_FDCWD, "a\0b", 0),
    () => lutimesat(AT_FDCWD, "a\0b", 0, 0),
    () => lmtimeat(AT_FDCWD, "a\0b", 0, 0),
  ];
  for (const call of calls) assertThrows(call, TypeError, "contains NUL");
});

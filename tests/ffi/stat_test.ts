// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, Fd, mknodat, O_RDONLY, openat } from "../../ffi/file.ts";
import { fstat, lstatat, S_IFLNK, S_IFMT, Stat, statat, tryBirthTimeMs, tryStatx } from "../../ffi/stat.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { assert, assertEquals, assertNotEquals, assertThrows } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

/** The fields as stat(1) prints them by {@linkcode FORMAT}. */
function fieldsOf(stat: Stat): string {
  const { mode, nlink, uid, gid, size, blocks, rdevMajor, rdevMinor, devMajor, devMinor } = stat;
  return [mode.toString(16), nlink, uid, gid, size, blocks, rdevMajor, rdevMinor, devMajor, devMinor].join(" ");
}

const FORMAT = "%f %h %u %g %s %b %Hr %Lr %Hd %Ld";

/** Seconds and nanoseconds as one number of nanoseconds. */
function mtimeNs(stat: Stat): bigint {
  return BigInt(stat.mtimeSeconds) * 1_000_000_000n + BigInt(stat.mtimeNanoseconds);
}

async function statProgram(path: string, format: string): Promise<string> {
  return (await runOk("stat", ["-c", format, path])).stdout.trim();
}

testNeeding([needsRoot], "lstatat() tells of every kind of file what stat(1) tells", async () => {
  await using directory = await TempDir.make();
  await Deno.mkdir(directory.join("dir"));
  await Deno.writeTextFile(directory.join("file"), "x".repeat(10_000));
  await Deno.link(directory.join("file"), directory.join("hard"));
  await Deno.chmod(directory.join("file"), 0o6755);
  await Deno.chown(directory.join("file"), 4_000_000_000, 65534);
  await Deno.symlink("file", directory.join("link"));
  await runOk("truncate", ["-s", "6442450945", directory.join("sparse")]);
  mknodat(AT_FDCWD, directory.join("fifo"), 0o010640);
  mknodat(AT_FDCWD, directory.join("char"), 0o020600, 5, 1);
  mknodat(AT_FDCWD, directory.join("block"), 0o060600, 4095, 1048575);
  for (const name of ["dir", "file", "hard", "link", "sparse", "fifo", "char", "block"]) {
    const path = directory.join(name);
    assertEquals(fieldsOf(lstatat(AT_FDCWD, path)), await statProgram(path, FORMAT), name);
  }
});

const DATES = [
  { name: "before 1970", date: "1969-12-31 23:59:58.250000000 UTC", ns: -1_750_000_000n },
  { name: "at 0", date: "1970-01-01 00:00:00 UTC", ns: 0n },
  { name: "with nanoseconds", date: "2023-04-05 06:07:08.123456789 UTC", ns: 1_680_674_828_123_456_789n },
  { name: "after 2038", date: "2105-01-01 00:00:00.000000001 UTC", ns: 4_260_211_200_000_000_001n },
];
for (const { name, date, ns } of DATES) {
  Deno.test(`the modification time is exact ${name}`, async () => {
    await using directory = await TempDir.make();
    await runOk("touch", ["-d", date, directory.join("file")]);
    const stat = lstatat(AT_FDCWD, directory.join("file"));
    assertEquals(mtimeNs(stat), ns);
    assert(stat.mtimeNanoseconds >= 0 && stat.mtimeNanoseconds < 1e9);
    assertEquals(BigInt(stat.mtimeSeconds), BigInt(await statProgram(directory.join("file"), "%Y")));
  });
}

Deno.test("lstatat() is about the link, statat() about what it leads to, fstat() about the open file", () => {
  using directory = TempDir.makeSync();
  Deno.writeTextFileSync(directory.join("file"), "12345");
  Deno.symlinkSync("file", directory.join("link"));
  const link = lstatat(AT_FDCWD, directory.join("link"));
  assert(link.isSymlink && !link.isFile && !link.isDirectory);
  assertEquals(link.mode & S_IFMT, S_IFLNK);
  const file = statat(AT_FDCWD, directory.join("link"));
  assert(file.isFile);
  assertEquals(file.size, 5);
  using fd = new Fd(openat(AT_FDCWD, directory.join("file"), O_RDONLY));
  assertEquals(fstat(fd.fd).fileKey, file.fileKey);
  assertNotEquals(link.fileKey, file.fileKey);
  assert(statat(AT_FDCWD, directory.path).isDirectory);
});

testNeeding([needsRoot], "isOverlayWhiteout is true for a character device 0:0 alone", () => {
  using directory = TempDir.makeSync();
  mknodat(AT_FDCWD, directory.join("whiteout"), 0o020000, 0, 0);
  mknodat(AT_FDCWD, directory.join("null"), 0o020000, 1, 3);
  mknodat(AT_FDCWD, directory.join("fifo"), 0o010000);
  const isWhiteout = (name: string): boolean => lstatat(AT_FDCWD, directory.join(name)).isOverlayWhiteout;
  assertEquals(["whiteout", "null", "fifo"].map(isWhiteout), [true, false, false]);
});

Deno.test("fileKey is the same for two names of one file, and another for another", () => {
  using directory = TempDir.makeSync();
  for (const name of ["a", "c"]) Deno.writeTextFileSync(directory.join(name), "");
  Deno.linkSync(directory.join("a"), directory.join("b"));
  const [a, b, c] = ["a", "b", "c"].map((name) => lstatat(AT_FDCWD, directory.join(name)).fileKey);
  assertEquals(a, b);
  assertNotEquals(a, c);
});

Deno.test("tryBirthTimeMs() tells when a file was made, not when it was changed", async () => {
  await using directory = await TempDir.make();
  const path = directory.join("file");
  await Deno.writeTextFile(path, "");
  await runOk("touch", ["-d", "1980-01-01", path]);
  const birth = tryBirthTimeMs(AT_FDCWD, path);
  // 0 where the file system does not tell.
  assertEquals(Math.floor((birth ?? 0) / 1000), Number(await statProgram(path, "%W")));
  assertEquals(tryBirthTimeMs(AT_FDCWD, directory.join("none")), undefined);
});

Deno.test("a Stat that is filled again holds the new file", () => {
  const stat = new Stat();
  assert(lstatat(AT_FDCWD, "/", stat).isDirectory);
  assert(lstatat(AT_FDCWD, "/proc/self/exe", stat).isSymlink);
});

Deno.test("lstatat(), statat(), fstat() and tryStatx() answer errors", () => {
  using directory = TempDir.makeSync();
  Deno.symlinkSync("circle", directory.join("circle"));
  Deno.writeTextFileSync(directory.join("file"), "");
  const error = assertErrno(() => lstatat(AT_FDCWD, directory.join("missing")), "ENOENT");
  assertEquals(error.message, `statx(-100, "${directory.join("missing")}", 0x100): ENOENT`);
  assertErrno(() => statat(AT_FDCWD, directory.join("circle")), "ELOOP");
  assertErrno(() => lstatat(AT_FDCWD, directory.join("file/x")), "ENOTDIR");
  assertErrno(() => lstatat(1_000_000, "x"), "EBADF");
  assertErrno(() => fstat(1_000_000), "EBADF");
  assertEquals(tryStatx(AT_FDCWD, "/nonexistent", AT_SYMLINK_NOFOLLOW, new Stat()), -ERRNO.ENOENT);
  assertThrows(() => lstatat(AT_FDCWD, "a\0b"), TypeError, "contains NUL");
});

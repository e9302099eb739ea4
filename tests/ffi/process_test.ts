// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { AT_FDCWD, Fd, O_CREAT, O_RDWR, openat } from "../../ffi/file.ts";
import { chroot, getegid, geteuid, getpagesize, tryFlock, umask } from "../../ffi/process.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { assertEquals, assertThrows } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

function openLock(directory: TempDir): Fd {
  return new Fd(openat(AT_FDCWD, directory.join("lock"), O_RDWR | O_CREAT, 0o600));
}

Deno.test("getpagesize(), geteuid() and getegid() say what getconf(1) and id(1) say", async () => {
  assertEquals(String(getpagesize()), (await runOk("getconf", ["PAGESIZE"])).stdout.trim());
  assertEquals(String(geteuid()), (await runOk("id", ["-u"])).stdout.trim());
  assertEquals(String(getegid()), (await runOk("id", ["-g"])).stdout.trim());
});

Deno.test("umask() sets the mask and returns the one before", () => {
  const before = umask(0o077);
  assertEquals(umask(before), 0o077);
});

testNeeding([needsRoot], "chroot() throws with the path", () => {
  assertEquals(
    assertErrno(() => chroot("/nowhere/to/be/found"), "ENOENT").message,
    'chroot("/nowhere/to/be/found"): ENOENT',
  );
  assertThrows(() => chroot("a\0b"), TypeError, "contains NUL");
});

const PAIRS: readonly { first: "shared" | "exclusive"; second: "shared" | "exclusive"; together: boolean }[] = [
  { first: "shared", second: "shared", together: true },
  { first: "shared", second: "exclusive", together: false },
  { first: "exclusive", second: "shared", together: false },
  { first: "exclusive", second: "exclusive", together: false },
];
for (const { first, second, together } of PAIRS) {
  Deno.test(`tryFlock(): ${first} and ${second} ${together ? "go together" : "exclude each other"}, in one process too`, () => {
    using directory = TempDir.makeSync();
    const a = openLock(directory);
    using b = openLock(directory);
    assertEquals(tryFlock(a.fd, first), true);
    assertEquals(tryFlock(b.fd, second), together);
    a[Symbol.dispose]();
    assertEquals(tryFlock(b.fd, second), true);
  });
}

Deno.test("tryFlock() excludes flock(1), and is free again once its process ended", async () => {
  await using directory = await TempDir.make();
  using fd = openLock(directory);
  const holder = new Deno.Command("flock", {
    args: [directory.join("lock"), "sh", "-c", "echo locked; read -r line"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = holder.stdout.getReader();
  await reader.read();
  assertEquals(tryFlock(fd.fd, "shared"), false);
  await holder.stdin.close();
  await reader.cancel();
  await holder.status;
  assertEquals(tryFlock(fd.fd, "exclusive"), true);
});

Deno.test("tryFlock() changes the kind of a lock that it holds", () => {
  using directory = TempDir.makeSync();
  using a = openLock(directory);
  using b = openLock(directory);
  assertEquals(tryFlock(a.fd, "exclusive"), true);
  assertEquals(tryFlock(a.fd, "shared"), true);
  assertEquals(tryFlock(b.fd, "shared"), true);
});

Deno.test("tryFlock() answers EBADF", () => {
  assertErrno(() => tryFlock(1_000_000, "shared"), "EBADF");
});

// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import {
  DT_BLK,
  DT_CHR,
  DT_DIR,
  DT_FIFO,
  DT_LNK,
  DT_REG,
  DT_SOCK,
  DT_UNKNOWN,
  readDirectory,
} from "../../ffi/directory.ts";
import { AT_FDCWD, close, Fd, mknodat, O_CREAT, O_DIRECTORY, O_RDONLY, O_WRONLY, openat } from "../../ffi/file.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { assert, assertEquals } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

function openDirectory(path: string): Fd {
  return new Fd(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
}

/** Names, one character a byte, with their types. */
function list(fd: number): Map<string, number> {
  const found = new Map<string, number>();
  readDirectory(fd, (buffer, start, end, type) => {
    assertEquals(buffer[end], 0);
    found.set(String.fromCharCode(...buffer.subarray(start, end)), type);
  });
  return found;
}

Deno.test("readDirectory() gives nothing for an empty directory, not even . and ..", () => {
  using directory = TempDir.makeSync();
  using fd = openDirectory(directory.path);
  assertEquals([...list(fd.fd)], []);
});

Deno.test("readDirectory() keeps odd names whole", () => {
  using directory = TempDir.makeSync();
  using fd = openDirectory(directory.path);
  const names = ["...", "..a", ".hidden", " ", "\n", "a\\b", "\xff\xfe", "\xe9t\xe9", "n".repeat(255)];
  for (const name of names) {
    const bytes = Uint8Array.from([...name].map((c) => c.charCodeAt(0)).concat(0));
    close(openat(fd.fd, bytes, O_WRONLY | O_CREAT, 0o600));
  }
  assertEquals([...list(fd.fd).keys()].sort(), names.toSorted());
});

Deno.test("readDirectory() goes on over many buffers: 5,000 long names", () => {
  using directory = TempDir.makeSync();
  using fd = openDirectory(directory.path);
  const names: string[] = [];
  for (let i = 0; i < 5000; i++) names.push(`${i}-${"x".repeat(i % 200)}`);
  for (const name of names) close(openat(fd.fd, name, O_WRONLY | O_CREAT, 0o600));
  const found = list(fd.fd);
  assertEquals(found.size, 5000);
  assert(names.every((name) => found.has(name)));
});

testNeeding([needsRoot], "readDirectory() tells the types", () => {
  using directory = TempDir.makeSync();
  using fd = openDirectory(directory.path);
  Deno.mkdirSync(directory.join("dir"));
  Deno.writeTextFileSync(directory.join("file"), "");
  Deno.symlinkSync("x", directory.join("link"));
  mknodat(fd.fd, "fifo", 0o010600);
  mknodat(fd.fd, "socket", 0o140600);
  mknodat(fd.fd, "char", 0o020600, 1, 3);
  mknodat(fd.fd, "block", 0o060600, 7, 0);
  const expected = [
    ["block", DT_BLK],
    ["char", DT_CHR],
    ["dir", DT_DIR],
    ["fifo", DT_FIFO],
    ["file", DT_REG],
    ["link", DT_LNK],
    ["socket", DT_SOCK],
  ] as const;
  const found = list(fd.fd);
  for (const [name, type] of expected) assert([type, DT_UNKNOWN].includes(found.get(name)!), name);
  assertEquals(found.size, expected.length);
});

Deno.test("readDirectory() answers EBADF and ENOTDIR, and ends when the visitor throws", () => {
  using directory = TempDir.makeSync();
  Deno.writeTextFileSync(directory.join("file"), "");
  using file = new Fd(openat(AT_FDCWD, directory.join("file"), O_RDONLY));
  using fd = openDirectory(directory.path);
  assertErrno(() => list(1_000_000), "EBADF");
  assertErrno(() => list(file.fd), "ENOTDIR");
  let thrown: unknown;
  try {
    readDirectory(fd.fd, () => {
      throw new RangeError("enough");
    });
  } catch (error) {
    thrown = error;
  }
  assert(thrown instanceof RangeError);
});

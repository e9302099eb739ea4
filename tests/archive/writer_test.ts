// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { AT_FDCWD, Fd, O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY, openat } from "../../ffi/file.ts";
import { BLOCK_SIZE, TarEntry, TypeFlag } from "../../lib/archive/header.ts";
import { PaxBuilder } from "../../lib/archive/pax.ts";
import { TarReader } from "../../lib/archive/reader.ts";
import { TarWriter } from "../../lib/archive/writer.ts";
import { StorageError } from "../../lib/errors.ts";
import { FdReader } from "../../lib/util/fd_reader.ts";
import { FdWriter } from "../../lib/util/fd_writer.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "./_tar_of.ts";

/** The archive of one entry without data. */
function write(fields: Partial<TarEntry>): { bytes: Uint8Array<ArrayBuffer>; again: TarEntry } {
  using directory = TempDir.makeSync();
  const path = directory.join("a.tar");
  {
    using file = new Fd(openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0o600));
    const writer = new TarWriter(new FdWriter(file.fd));
    writer.writeHeader(Object.assign(new TarEntry(), fields));
    writer.end();
    assertEquals(writer.entries, 1);
  }
  using file = new Fd(openat(AT_FDCWD, path, O_RDONLY));
  const again = new TarReader(new FdReader(file.fd)).next();
  assert(again !== undefined);
  return { bytes: Deno.readFileSync(path), again };
}

/** Bytes of an archive of one plain header and the two zero blocks. */
const PLAIN_LENGTH = 3 * BLOCK_SIZE;

Deno.test("TarWriter writes the ustar header that tar(5) describes", () => {
  const { bytes } = write({
    typeFlag: TypeFlag.CHARACTER_DEVICE,
    unsafePath: "dev/null",
    mode: 0o640,
    uid: 5,
    gid: 6,
    mtimeSeconds: 1234567890,
    deviceMajor: 1,
    deviceMinor: 3,
  });
  const item = { path: "dev/null", type: "3", mode: 0o640, uid: 5, gid: 6, mtime: 1234567890, major: 1, minor: 3 };
  assertEquals(bytes, tarOf([item]));
});

const D = "d".repeat(100);
const N = "n".repeat(100);

const PLAIN: readonly [name: string, fields: Partial<TarEntry>][] = [
  ["a path of 100 bytes", { unsafePath: N }],
  ["a path that splits", { unsafePath: `${D}/${N}` }],
  ["a path of 256 bytes", { unsafePath: `${"p".repeat(155)}/${N}` }],
  ["a directory of 100 bytes and its slash", { typeFlag: TypeFlag.DIRECTORY, unsafePath: `a/${"n".repeat(99)}/` }],
  ["bytes that are no UTF-8", { unsafePath: "\xff\xfe\x80" }],
  ["a target of 100 bytes", { typeFlag: TypeFlag.SYMLINK, unsafePath: "l", unsafeLinkPath: N }],
  ["setuid, setgid and sticky", { unsafePath: "f", mode: 0o7777 }],
  ["the largest ids of ustar", { unsafePath: "f", uid: 0o7777777, gid: 0o7777777 }],
  ["the largest time of ustar", { unsafePath: "f", mtimeSeconds: 0o77777777777 }],
  ["1970", { unsafePath: "f", mtimeSeconds: 0 }],
];

const EXTENDED: readonly [name: string, fields: Partial<TarEntry>][] = [
  ["a name of 101 bytes", { unsafePath: "n".repeat(101) }],
  ["a name of 101 bytes in a directory", { unsafePath: `dir/${"n".repeat(101)}` }],
  ["a path of 257 bytes", { unsafePath: `${"p".repeat(156)}/${N}` }],
  ["a path of 4000 bytes", { unsafePath: `${D}/`.repeat(39) + N }],
  ["a directory whose slash is one too many", { typeFlag: TypeFlag.DIRECTORY, unsafePath: `${N}/` }],
  ["a target of 101 bytes", { typeFlag: TypeFlag.SYMLINK, unsafePath: "l", unsafeLinkPath: "t".repeat(101) }],
  ["a uid over ustar's", { unsafePath: "f", uid: 0o10000000 }],
  ["a gid over ustar's", { unsafePath: "f", gid: 4294967294 }],
  ["nanoseconds", { unsafePath: "f", mtimeSeconds: 1, mtimeNanoseconds: 1 }],
  ["a time over ustar's", { unsafePath: "f", mtimeSeconds: 0o77777777777 + 1 }],
  ["a second before 1970", { unsafePath: "f", mtimeSeconds: -1 }],
  ["half a second before 1970", { unsafePath: "f", mtimeSeconds: -1, mtimeNanoseconds: 500_000_000 }],
  ["a nanosecond before 1970", { unsafePath: "f", mtimeSeconds: -1, mtimeNanoseconds: 999_999_999 }],
  ["two and a half before 1970", { unsafePath: "f", mtimeSeconds: -3, mtimeNanoseconds: 500_000_000 }],
  ["an attribute", { unsafePath: "f", xattrs: new Map([["user.ü", new Uint8Array([0, 10, 61, 255])]]) }],
];

for (const [isPlain, cases] of [[true, PLAIN], [false, EXTENDED]] as const) {
  for (const [name, fields] of cases) {
    const how = isPlain ? "without" : "with";
    Deno.test(`TarWriter writes ${name} ${how} a pax header, and TarReader reads the same`, () => {
      const { bytes, again } = write(fields);
      assertEquals(bytes.length === PLAIN_LENGTH, isPlain);
      assertEquals(bytes.length % BLOCK_SIZE, 0);
      for (const [key, value] of Object.entries(fields)) {
        assertEquals(again[key as keyof TarEntry] as unknown, value as unknown, key);
      }
    });
  }
}

Deno.test("TarWriter writes the same bytes for the same entry", () => {
  const fields = { unsafePath: D + N, mtimeSeconds: 5, mtimeNanoseconds: 7, uid: 1 << 30 };
  assertEquals(write(fields).bytes, write(fields).bytes);
});

Deno.test("PaxBuilder.add() counts the length's own digits", () => {
  for (let length = 0; length < 1100; length++) {
    const pax = new PaxBuilder();
    pax.add("key", "v".repeat(length));
    const record = pax.records;
    assertEquals(parseInt(record), record.length);
    assert(record.endsWith("\n"));
  }
});

Deno.test("PaxBuilder.addXattr() refuses a name with =", () => {
  const error = assertThrows(() => new PaxBuilder().addXattr("user.a=b", new Uint8Array(), "dir/f"), StorageError);
  assertEquals(error.code, "not_supported");
  assert(error.message.includes("dir/f") && error.message.includes("user.a=b"));
});

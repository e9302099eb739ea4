// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { AT_FDCWD, Fd, O_RDONLY, openat } from "../../ffi/file.ts";
import { TypeFlag } from "../../lib/archive/header.ts";
import { TarReader } from "../../lib/archive/reader.ts";
import { StorageError, type StorageErrorCode } from "../../lib/errors.ts";
import { FdReader } from "../../lib/util/fd_reader.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { readArchive, type Seen, text } from "./_read_archive.ts";
import { base256, gnuLong, paxRecord, tarBody, type TarItem, tarOf } from "./_tar_of.ts";

const V7 = "\0\0\0\0\0\0\0\0";
const GNU = "ustar  \0";
const LONG = `${"d".repeat(150)}/${"n".repeat(150)}`;

const HIGH_BYTES = "\xfc".repeat(4);
/** What a tar that takes bytes for signed ones writes: 256 less for each byte above 127. */
const SIGNED_SUM = `${
  (parseInt(text(tarBody([{ path: HIGH_BYTES }]).subarray(148, 155)), 8) - 4 * 256).toString(8).padStart(6, "0")
}\0 `;

const FOUND: readonly [name: string, items: readonly TarItem[], expected: Partial<Seen>][] = [
  ["a v7 file", [{ path: "f", type: "\0", magic: V7, uid: 7, mtime: 9 }], {
    type: "0",
    path: "f",
    uid: 7,
    time: "9 0",
  }],
  ["a v7 directory", [{ path: "d/", type: "\0", magic: V7 }], { type: "5", path: "d/" }],
  ["a v7 link", [{ path: "l", type: "1", magic: V7, link: "f" }], { type: "1", link: "f" }],
  ["v7, whose prefix is no prefix", [{ path: "f", magic: V7, prefix: "dir" }], { path: "f" }],
  ["GNU, whose prefix is no prefix", [{ path: "f", magic: GNU, prefix: "dir" }], { path: "f" }],
  ["star, whose prefix is shorter and has times behind it", [
    { path: "f", prefix: "some/dir", raw: { 476: "15300255663 15300255663 ", 508: "tar\0" } },
  ], { path: "some/dir/f" }],
  ["star's prefix, full to the last byte", [
    { path: "f", prefix: "p".repeat(131), raw: { 476: "15300255663 15300255663 ", 508: "tar\0" } },
  ], { path: `${"p".repeat(131)}/f` }],
  ["GNU with times in the prefix", [{ path: "f", magic: GNU, raw: { 345: "15300255663\x0015300255663\0" } }], {
    path: "f",
  }],
  ["a ustar prefix", [{ path: "f", prefix: "some/dir" }], { path: "some/dir/f" }],
  ["fields full to the last byte", [{ path: "n".repeat(100), prefix: "p".repeat(155), link: "l".repeat(100) }], {
    path: `${"p".repeat(155)}/${"n".repeat(100)}`,
    link: "l".repeat(100),
  }],
  ["a contiguous file", [{ path: "f", type: "7", data: "abc" }], { type: "0", size: 3 }],
  ["a directory that says a size", [{ path: "d/", type: "5", size: 4096 }], { type: "5", size: 0 }],
  ["a hard link that says a size", [{ path: "l", type: "1", link: "f", size: 10 }], { type: "1", size: 0 }],
  ["numbers with spaces", [{ path: "f", raw: { 108: "     17\0", 116: "  21   \0" } }], { uid: 0o17, gid: 0o21 }],
  ["empty numbers", [{ path: "f", raw: { 108: "\0\0\0\0\0\0\0\0" } }], { uid: 0 }],
  ["a signed checksum", [{ path: HIGH_BYTES, checksum: SIGNED_SUM }], { path: HIGH_BYTES }],
  ["a base-256 uid", [{ path: "f", raw: { 108: base256(3_000_000n, 8) } }], { uid: 3_000_000 }],
  ["a base-256 time", [{ path: "f", raw: { 136: base256(1n << 40n, 12) } }], { time: `${2 ** 40} 0` }],
  ["a base-256 mode", [{ path: "f", raw: { 100: base256(0o4755n, 8) } }], { mode: 0o4755 }],
  ["a mode with the bits of the type", [{ path: "f", mode: 0o100640 }], { mode: 0o640 }],
  ["a mode in blanks", [{ path: "f", raw: { 100: "   644 \0" } }], { mode: 0o644 }],
  ["a GNU directory with a list of its names", [{ path: "d/", type: "D", data: "Yname\0\0" }], {
    type: "5",
    path: "d/",
    size: 0,
  }],
  ["an entry behind a volume label", [
    { path: "label", type: "V", magic: GNU, data: "label", pax: { path: "other" } },
    { path: "f" },
  ], { type: "0", path: "f" }],
  ["a pax header as Solaris marks it", [
    { path: "x", type: "X", data: paxRecord("path", "solaris") },
    { path: "f" },
  ], { path: "solaris" }],
  ["two pax headers, of which the later wins", [
    { path: "x", type: "x", data: paxRecord("path", "one") + paxRecord("uid", "7") },
    { path: "f", pax: { path: "two" } },
  ], { path: "two", uid: 7 }],
  ["a base-256 time before 1970", [{ path: "f", raw: { 136: base256(-2n, 12) } }], { time: "-2 0" }],
  ["a GNU long name", [gnuLong("L", LONG), { path: LONG.slice(0, 100), magic: GNU }], { path: LONG }],
  ["a GNU long link", [gnuLong("K", LONG), { path: "l", type: "2", magic: GNU }], { path: "l", link: LONG }],
  ["both, link first", [gnuLong("K", LONG), gnuLong("L", `${LONG}2`), { path: "l", type: "2", magic: GNU }], {
    path: `${LONG}2`,
    link: LONG,
  }],
  ["two long names", [gnuLong("L", "one"), gnuLong("L", "two"), { path: "l" }], { path: "two" }],
  ["a pax path over a long name", [gnuLong("L", "gnu"), { path: "f", pax: { path: "pax" } }], { path: "pax" }],
  ["a pax path over a prefix", [{ path: "f", prefix: "dir", pax: { path: "pax" } }], { path: "pax" }],
  ["pax numbers", [{ path: "f", pax: { uid: "4000000", gid: "5000000", size: "3" }, size: 0, data: "abc" }], {
    uid: 4_000_000,
    gid: 5_000_000,
    size: 3,
  }],
  ["a pax linkpath", [{ path: "l", type: "2", link: "short", pax: { linkpath: LONG } }], { link: LONG }],
  ["bytes that are no UTF-8", [{ path: "f", pax: { path: "a\xff\xfeb" } }], { path: "a\xff\xfeb" }],
  ["a path with a line feed and =", [{ path: "f", pax: { path: "a\n17 path=b\n" } }], { path: "a\n17 path=b\n" }],
  ["unknown records", [{ path: "f", pax: { comment: "c", "LIBARCHIVE.x": "y", atime: "1", hdrcharset: "BINARY" } }], {
    path: "f",
    time: "0 0",
  }],
  ["the later of two records", [
    { path: "x", type: "x", data: paxRecord("path", "one") + paxRecord("path", "two") },
    { path: "f" },
  ], { path: "two" }],
  ["a record that takes an earlier one back", [
    { path: "x", type: "x", data: paxRecord("path", "one") + paxRecord("path", "") },
    { path: "f" },
  ], { path: "f" }],
];

for (const [name, items, expected] of FOUND) {
  Deno.test(`TarReader.next() reads ${name}`, () => {
    const seen = readArchive(tarOf(items));
    assertEquals(seen.length, 1);
    for (const [key, value] of Object.entries(expected)) assertEquals(seen[0]![key as keyof Seen], value, key);
  });
}

const TIMES: readonly [pax: string, expected: string][] = [
  ["0", "0 0"],
  ["1.5", "1 500000000"],
  ["1234567890.123456789", "1234567890 123456789"],
  ["1.0000000019", "1 1"],
  ["1.", "1 0"],
  ["-1", "-1 0"],
  ["-0.25", "-1 750000000"],
  ["-1.000000001", "-2 999999999"],
  ["-2.5", "-3 500000000"],
  ["99999999999", "99999999999 0"],
];

for (const [pax, expected] of TIMES) {
  Deno.test(`TarReader.next() takes the pax time ${pax} for ${expected}`, () => {
    assertEquals(readArchive(tarOf([{ path: "f", mtime: 5, pax: { mtime: pax } }]))[0]!.time, expected);
  });
}

Deno.test("TarReader.next() holds global records for all that follow, below an entry's own", () => {
  const global = paxRecord("uid", "5") + paxRecord("mtime", "7") + paxRecord("SCHILY.xattr.user.g", "global");
  const seen = readArchive(tarOf([
    { path: "before" },
    { path: "g", type: "g", data: global },
    { path: "one" },
    { path: "two", pax: { uid: "6", mtime: "", "SCHILY.xattr.user.own": "x" }, mtime: 8 },
    { path: "three" },
    { path: "g", type: "g", data: paxRecord("uid", "9") },
    { path: "four" },
  ]));
  assertEquals(seen.map(({ path, uid, time }) => `${path} ${uid} ${time}`), [
    "before 0 0 0",
    "one 5 7 0",
    "two 6 8 0",
    "three 5 7 0",
    "four 9 7 0",
  ]);
  assertEquals(seen.map(({ xattrs }) => Object.keys(xattrs).join()), [
    "",
    "user.g",
    "user.g,user.own",
    "user.g",
    "user.g",
  ]);
});

Deno.test("TarReader.next() forgets an entry's records and long names behind it", () => {
  const seen = readArchive(tarOf([
    { path: "a", pax: { path: "pax", uid: "3", "SCHILY.xattr.user.a": "x" } },
    { path: "b" },
    gnuLong("L", "long"),
    { path: "c" },
    { path: "d" },
  ]));
  assertEquals(seen.map(({ path }) => path), ["pax", "b", "long", "d"]);
  assertEquals([seen[1]!.uid, seen[1]!.xattrs], [0, {}]);
});

Deno.test("TarReader.next() passes over data that nobody read, whatever its length", () => {
  for (const length of [0, 1, 511, 512, 513, 1023, 1024, 300_000]) {
    const seen = readArchive(tarOf([{ path: "a", data: "x".repeat(length) }, { path: "b" }]));
    assertEquals(seen.map(({ path, size }) => [path, size]), [["a", length], ["b", 0]]);
  }
});

Deno.test("TarReader.next() finds nothing in 1024 zero bytes, and reads nothing behind the end", () => {
  assertEquals(readArchive(new Uint8Array(1024)), []);
  const bytes = new Uint8Array([...tarOf([{ path: "a" }]), ...tarBody([{ path: "behind" }])]);
  assertEquals(readArchive(bytes).map(({ path }) => path), ["a"]);
});

Deno.test("TarReader.next() gives one object again and again", () => {
  using directory = TempDir.makeSync();
  Deno.writeFileSync(directory.join("a.tar"), tarOf([{ path: "a" }, { path: "b", type: "5" }]));
  using file = new Fd(openat(AT_FDCWD, directory.join("a.tar"), O_RDONLY));
  const reader = new TarReader(new FdReader(file.fd));
  const first = reader.next();
  const second = reader.next();
  assert(first === second);
  assertEquals(second?.typeFlag, TypeFlag.DIRECTORY);
});

const MIB = 1 << 20;

const FAULTS: readonly [name: string, bytes: Uint8Array, code: StorageErrorCode, says: string][] = [
  ["nothing", new Uint8Array(0), "invalid_archive", "empty"],
  ["less than a header", new Uint8Array(100), "invalid_archive", "shorter than one header"],
  ["no tar", new Uint8Array(2048).fill(65), "invalid_archive", "no tar"],
  ["a wrong checksum", tarOf([{ path: "a" }, { path: "b", checksum: "0000001\0" }]), "invalid_archive", "byte 512"],
  ["no checksum", tarOf([{ path: "a", checksum: "\0\0\0\0\0\0\0\0" }]), "invalid_archive", "no tar"],
  ["no end", tarBody([{ path: "a" }]), "invalid_archive", "zero blocks are missing"],
  [
    "one zero block",
    new Uint8Array([...tarBody([{ path: "a" }]), ...new Uint8Array(512)]),
    "invalid_archive",
    "only one of the two",
  ],
  [
    "one zero block in the middle",
    new Uint8Array([...tarBody([{ path: "a" }]), ...new Uint8Array(512), ...tarOf([{ path: "b" }])]),
    "invalid_archive",
    "only one of the two",
  ],
  ["a mode of letters", tarOf([{ path: "a", raw: { 100: "rwxr-x\0" } }]), "invalid_archive", "number"],
  ["a mode with an 8", tarOf([{ path: "a", raw: { 100: "0000684\0" } }]), "invalid_archive", "number"],
  ["a negative mode", tarOf([{ path: "a", raw: { 100: base256(-1n, 8) } }]), "invalid_archive", "number"],
  ["the rest of a file", tarOf([{ path: "a", type: "M", data: "x" }]), "not_supported", 'its type is "M"'],
  ["an old GNU long name", tarOf([{ path: "a", type: "N", data: "x" }]), "not_supported", 'its type is "N"'],
  ["a Solaris ACL", tarOf([{ path: "a", type: "A", data: "x" }]), "not_supported", 'its type is "A"'],
  ["Solaris's attributes", tarOf([{ path: "a", type: "E" }]), "not_supported", 'its type is "E"'],
  ["star's inode", tarOf([{ path: "a", type: "I" }]), "not_supported", 'its type is "I"'],
  ["type 8, which POSIX reserves", tarOf([{ path: "a", type: "8" }]), "invalid_archive", 'its type is "8"'],
  ["type Z", tarOf([{ path: "a", type: "Z" }]), "invalid_archive", 'its type is "Z"'],
  ["a later volume", tarOf([{ path: "a", pax: { "GNU.volume.offset": "512" } }]), "not_supported", "volume"],
  [
    "pax headers over 1 MiB together",
    tarOf([...Array(3).fill({ path: "x", type: "x", data: paxRecord("comment", "c".repeat(MIB / 2)) }), { path: "a" }]),
    "invalid_archive",
    "limit",
  ],
  [
    "global headers over 1 MiB together",
    tarOf(
      Array.from({ length: 3 }, () => [
        { path: "g", type: "g", data: paxRecord("comment", "c".repeat(MIB / 2)) },
        { path: "a" },
      ]).flat(),
    ),
    "invalid_archive",
    "limit",
  ],
  [
    "a global header behind an entry's own",
    tarOf([{ path: "x", type: "x", data: paxRecord("uid", "1") }, { path: "g", type: "g", data: "" }, { path: "a" }]),
    "invalid_archive",
    "global",
  ],
  [
    "labels without end",
    tarOf(Array(2000).fill({ path: "label", type: "V" })),
    "invalid_archive",
    "more than 1000",
  ],
  ["a uid of letters", tarOf([{ path: "a", raw: { 108: "12x\0" } }]), "invalid_archive", "number"],
  ["a pax header over 1 MiB", tarOf([{ path: "a", pax: { comment: "c".repeat(MIB) } }]), "invalid_archive", "limit"],
  ["a long name over 1 MiB", tarOf([gnuLong("L", "n".repeat(MIB)), { path: "a" }]), "invalid_archive", "limit"],
  ["a pax header that says 8 GiB", tarOf([{ path: "x", type: "x", size: 2 ** 33 - 1 }]), "invalid_archive", "limit"],
  [
    "a pax header before the end",
    tarOf([{ path: "x", type: "x", data: paxRecord("path", "a") }]),
    "invalid_archive",
    "extended header",
  ],
  ["a long name before the end", tarOf([gnuLong("L", "name")]), "invalid_archive", "extended header"],
  ["a pax time of letters", tarOf([{ path: "a", pax: { mtime: "now" } }]), "invalid_archive", "no time"],
  ["a pax uid of letters", tarOf([{ path: "a", pax: { uid: "root" } }]), "invalid_archive", "no number"],
  ["a pax uid in hexadecimal", tarOf([{ path: "a", pax: { uid: "0x10" } }]), "invalid_archive", "no number"],
  ["NUL in a pax linkpath", tarOf([{ path: "a", pax: { linkpath: "a\0b" } }]), "invalid_archive", "NUL"],
];

for (const [name, bytes, code, says] of FAULTS) {
  Deno.test(`TarReader.next() of ${name} is ${code}`, () => {
    const error = assertThrows(() => readArchive(bytes), StorageError, says);
    assertEquals(error.code, code);
  });
}

const RECORDS = [
  "5 a=b\n",
  "7 a=b\n",
  "6 a=bc",
  "6 a=bcd",
  "0 a=b\n",
  "-6 a=b\n",
  "6a=b\n",
  " 6 a=b\n",
  "6 aaab\n",
  "6",
  "\n",
]
  .concat(["99999999999 a=b\n", "4 =\n", "3 a\n", "1e1 a=bcd\n", "6 a=b\n6 a=b"]);

for (const data of RECORDS) {
  Deno.test(`TarReader.next() refuses the pax records ${JSON.stringify(data)}`, () => {
    const error = assertThrows(() => readArchive(tarOf([{ path: "x", type: "x", data }, { path: "f" }])), StorageError);
    assertEquals(error.code, "invalid_archive");
  });
}

Deno.test("TarReader.next() of a good archive cut at any byte is invalid_archive", () => {
  const bytes = tarOf([{ path: "a", data: "x" }, gnuLong("L", LONG), { path: "b", pax: { uid: "1" } }]);
  for (let length = 0; length < bytes.length; length += 64) {
    for (const cut of [length, length + 1]) {
      if (cut === bytes.length) continue;
      const error = assertThrows(() => readArchive(bytes.subarray(0, cut)), StorageError);
      assertEquals(error.code, "invalid_archive", `cut at ${cut}`);
    }
  }
});

// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { PaxBuilder } from "../../lib/archive/pax.ts";
import { StorageError, type StorageErrorCode } from "../../lib/errors.ts";
import { readArchive, type Seen, text } from "./_read_archive.ts";
import { type TarItem, tarOf } from "./_tar_of.ts";

/** An ACL as the kernel has it, from entries `TAG PERMISSIONS ID`, the tag in hexadecimal. */
function acl(...entries: string[]): string {
  const bytes = new DataView(new ArrayBuffer(4 + 8 * entries.length));
  bytes.setUint32(0, 2, true);
  entries.forEach((entry, i) => {
    const [tag, permissions, id = "4294967295"] = entry.split(" ");
    bytes.setUint16(4 + 8 * i, parseInt(tag!, 16), true);
    bytes.setUint16(6 + 8 * i, Number(permissions), true);
    bytes.setUint32(8 + 8 * i, Number(id), true);
  });
  return text(new Uint8Array(bytes.buffer));
}

const FOUND: readonly [name: string, items: readonly TarItem[], expected: Partial<Seen>][] = [
  ["an attribute of any bytes", [{ path: "f", pax: { "SCHILY.xattr.user.a": "\0\n\xff=\0" } }], {
    xattrs: { "user.a": "\0\n\xff=\0" },
  }],
  ["an attribute whose name is no UTF-8", [{ path: "f", pax: { "SCHILY.xattr.user.\xff\xc3\xbc": "v" } }], {
    xattrs: { "user.\xff\xc3\xbc": "v" },
  }],
  ["an attribute with GNU tar's escapes", [{ path: "f", pax: { "SCHILY.xattr.user.a%3Db%25%41%253D": "v" } }], {
    xattrs: { "user.a=b%%41%3D": "v" },
  }],
  ["a libarchive attribute", [{ path: "f", pax: { "LIBARCHIVE.xattr.user.a%3Db%FF": "AP8" } }], {
    xattrs: { "user.a=b\xff": "\0\xff" },
  }],
  ["an attribute in both spellings, of which SCHILY wins", [{
    path: "f",
    pax: { "SCHILY.xattr.user.b%41": "own", "LIBARCHIVE.xattr.user.b%41": "AP8", "SCHILY.xattr.user.c%41": "c" },
  }], { xattrs: { "user.bA": "own", "user.c%41": "c" } }],
  ["the host's label as none", [{ path: "f", pax: { "RHT.security.selinux": "u:r:t:s0" } }], { xattrs: {} }],
  ["an access ACL, in star's words", [{
    path: "f",
    pax: { "SCHILY.acl.access": "user::rw-,user:daemon:r--:1,group::r--,group:55:r-x,mask::rwx,other::--x" },
  }], { xattrs: { "system.posix_acl_access": acl("01 6", "02 4 1", "04 4", "08 5 55", "10 7", "20 1") } }],
  ["an access ACL as acl(5) spells it, with comments, in any order", [{
    path: "f",
    pax: { "SCHILY.acl.access": "# file: f\nother::r--\nm::r-x\nu:7:rwx #effective:r-x\nu:6:--x\ng::r--\nu::rw-\n" },
  }], { xattrs: { "system.posix_acl_access": acl("01 6", "02 1 6", "02 7 7", "04 4", "10 5", "20 4") } }],
  [
    "a default ACL of three entries",
    [{ path: "d/", type: "5", pax: { "SCHILY.acl.default": "u::rwx,g::r-x,o::---" } }],
    {
      xattrs: { "system.posix_acl_default": acl("01 7", "04 5", "20 0") },
    },
  ],
  ["an access ACL that says no more than the mode", [
    { path: "f", pax: { "SCHILY.acl.access": "user::rw-,group::r--,other::r--", "SCHILY.acl.default": "" } },
  ], { xattrs: {} }],
  ["an ACL as an attribute, over the one as text", [{
    path: "f",
    pax: {
      "SCHILY.xattr.system.posix_acl_access": "bytes",
      "SCHILY.acl.access": "u::r--,u:1:r--,g::r--,m::r--,o::r--",
    },
  }], { xattrs: { "system.posix_acl_access": "bytes" }, unread: "" }],
  ["an ACL of names as one that cannot be read", [{
    path: "f",
    pax: { "SCHILY.acl.access": "u::r--,u:somebody:r--,g::r--,m::r--,o::r--", "SCHILY.acl.ace": "owner@:r::allow" },
  }], { xattrs: {}, unread: "SCHILY.acl.access,SCHILY.acl.ace" }],
  ["an empty attribute", [{ path: "f", pax: { "SCHILY.xattr.user.a": "" } }], { xattrs: { "user.a": "" } }],
];

for (const [name, items, expected] of FOUND) {
  Deno.test(`TarReader.next() reads ${name}`, () => {
    const [seen] = readArchive(tarOf(items));
    for (const [key, value] of Object.entries(expected)) assertEquals(seen![key as keyof Seen], value, key);
  });
}

Deno.test("TarReader.next() reads the names that PaxBuilder.addXattr() wrote", () => {
  for (const name of ["user.a", "user.50%", "user.%25", "user.%3D", "user.%2525%3d%41", "user.\xff\xc3\xbc"]) {
    const pax = new PaxBuilder();
    pax.addXattr(name, new Uint8Array([1]), "f");
    const [seen] = readArchive(tarOf([{ path: "x", type: "x", data: pax.records }, { path: "f" }]));
    assertEquals(seen!.xattrs, { [name]: "\x01" });
  }
});

const FAULTS: readonly [name: string, bytes: Uint8Array, code: StorageErrorCode, says: string][] = [
  [
    "base 64 that is none",
    tarOf([{ path: "a", pax: { "LIBARCHIVE.xattr.user.a": "!" } }]),
    "invalid_archive",
    "base 64",
  ],
  [
    "NUL in a name encoded as in a URL",
    tarOf([{ path: "a", pax: { "LIBARCHIVE.xattr.user.a%00": "" } }]),
    "invalid_archive",
    "NUL",
  ],
  [
    "NUL in an attribute's name",
    tarOf([{ path: "a", pax: { "SCHILY.xattr.user.a\0b": "" } }]),
    "invalid_archive",
    "NUL",
  ],
];

for (const [name, bytes, code, says] of FAULTS) {
  Deno.test(`TarReader.next() of ${name} is ${code}`, () => {
    const error = assertThrows(() => readArchive(bytes), StorageError, says);
    assertEquals(error.code, code);
  });
}

const BAD_ACLS = [
  "user::rw",
  "user::rwx,group::rwx",
  "user::rwx,user::r--,group::r--,other::r--",
  "user::rwx,user:5:r--,group::r--,other::r--",
  "user::rwx,user:5:r--,user:5:rw-,group::r--,mask::r--,other::r--",
  "user::rwx,user:4294967295:r--,group::r--,mask::r--,other::r--",
  "user::rwx,group::r--,mask:5:r--,other::r--",
  "default:user::rwx,group::r--,other::r--",
];

for (const data of BAD_ACLS) {
  Deno.test(`TarReader.next() refuses the ACL ${data}`, () => {
    const pax = { "SCHILY.acl.access": data };
    const error = assertThrows(() => readArchive(tarOf([{ path: "f", pax }])), StorageError, "no ACL");
    assertEquals(error.code, "invalid_archive");
  });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Extended attributes and ACLs in pax headers. Three programs have three spellings, and write several of them for one
 * attribute; here they become one name and one value.
 *
 * - `SCHILY.xattr.NAME=VALUE`: star, GNU tar, Docker, Podman, lamina. GNU tar spells `=` and `%` in NAME as `%3D` and `%25`.
 * - `LIBARCHIVE.xattr.NAME=VALUE`: bsdtar, NAME in the encoding of URLs, VALUE in base 64. It writes the SCHILY record as
 *   well, and then encodes NAME there the same way.
 * - `SCHILY.acl.access`, `SCHILY.acl.default`: ACLs as text. What an attribute says in numbers is preferred to them.
 *
 * `RHT.security.selinux` is passed over: labels are the host's.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { type ByteString, byteString } from "../util/byte_string.ts";
import { invalidPax, paxName } from "./_pax_value.ts";
import { aclOfText } from "./acl_text.ts";

const SCHILY = "SCHILY.xattr.";
const LIBARCHIVE = "LIBARCHIVE.xattr.";
const ACLS: ReadonlyMap<string, { name: ByteString; isDefault: boolean }> = new Map([
  ["SCHILY.acl.access", { name: "system.posix_acl_access", isDefault: false }],
  ["SCHILY.acl.default", { name: "system.posix_acl_default", isDefault: true }],
]);
/** NFSv4 ACLs, which no Linux file system that can hold layers knows. */
const NFS_ACL = "SCHILY.acl.ace";

type Value = Uint8Array<ArrayBuffer>;

/** What the records are for: names and values, and keys that mean something only elsewhere. */
interface Attributes {
  xattrs: Map<ByteString, Value> | undefined;
  unreadXattrs: readonly string[] | undefined;
}

/** The attribute records of one extended header; they are put together when all are there. */
export class AttributeRecords {
  #schily: Map<ByteString, Value> | undefined;
  #libarchive: Map<ByteString, Value> | undefined;
  #acls: Map<string, ByteString> | undefined;

  /** Takes a record, if it is about attributes. */
  add(key: ByteString, value: Value): boolean {
    if (key.startsWith(SCHILY)) {
      (this.#schily ??= new Map()).set(paxName(key, key.slice(SCHILY.length)), value.slice());
    } else if (key.startsWith(LIBARCHIVE)) {
      (this.#libarchive ??= new Map()).set(paxName(key, key.slice(LIBARCHIVE.length)), bytesOfBase64(key, value));
    } else if (ACLS.has(key) || key === NFS_ACL) {
      (this.#acls ??= new Map()).set(key, byteString(value));
    } else return false;
    return true;
  }

  /** Adds what was collected to `attributes`. */
  applyTo(attributes: Attributes): void {
    if (this.#schily === undefined && this.#libarchive === undefined && this.#acls === undefined) return;
    const own = new Map<ByteString, Value>();
    for (const [key, value] of this.#libarchive ?? []) own.set(paxName(key, fromUrl(key)), value);
    for (const [key, value] of this.#schily ?? []) {
      own.set(this.#libarchive?.has(key) ? fromUrl(key) : key.replace(GNU_ESCAPE_REGEXP, unescaped), value);
    }
    const unread = new Set(attributes.unreadXattrs);
    for (const [key, text] of this.#acls ?? []) this.#readAcl(key, text, own, unread);
    attributes.xattrs = new Map([...attributes.xattrs ?? [], ...own]);
    if (unread.size > 0) attributes.unreadXattrs = [...unread];
  }

  #readAcl(key: string, text: ByteString, own: Map<ByteString, Value>, unread: Set<string>): void {
    const acl = ACLS.get(key);
    if (acl === undefined) return void unread.add(key);
    if (own.has(acl.name)) return;
    const value = aclOfText(key, text);
    if (value === "names") unread.add(key);
    // Three entries alone are what the mode says already.
    else if (value !== undefined && (acl.isDefault || value.length > 4 + 3 * 8)) own.set(acl.name, value);
  }
}

/** The key under which an attribute goes out; it holds no `=`. What {@linkcode AttributeRecords} would decode is escaped. */
export function schilyKey(name: ByteString): ByteString {
  return SCHILY + name.replace(GNU_ESCAPE_REGEXP, (escape) => `%25${escape.slice(1)}`);
}

const GNU_ESCAPE_REGEXP = /%(?:25|3D)/g;

function unescaped(escape: string): string {
  return escape === "%25" ? "%" : "=";
}

function fromUrl(name: ByteString): ByteString {
  return name.replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)));
}

function bytesOfBase64(key: ByteString, value: Value): Value {
  const text = byteString(value);
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw invalidPax(`record "${key}" is not in base 64`);
  return new Uint8Array(Buffer.from(text, "base64"));
}

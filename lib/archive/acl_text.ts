// SPDX-License-Identifier: Apache-2.0

/**
 * POSIX ACLs from text, as acl(5) and star(5) have it, to the bytes that the kernel keeps: linux/posix_acl_xattr.h.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { ByteString } from "../util/byte_string.ts";
import { invalidPax } from "./_pax_value.ts";

const VERSION = 2;
/** `ACL_UNDEFINED_ID`, of entries that are about nobody in particular. */
const NOBODY = 0xffffffff;

/** `ACL_USER_OBJ` and so on, in the order in which the kernel demands the entries. */
const USER_OBJ = 0x01;
const USER = 0x02;
const GROUP_OBJ = 0x04;
const GROUP = 0x08;
const MASK = 0x10;
const OTHER = 0x20;

interface AclEntry {
  tag: number;
  permissions: number;
  id: number;
}

/** `user:1234:rw-`, `user:name:rw-:1234` (star's fourth field), `mask::rwx`, `other:r-x`. */
const ENTRY_REGEXP = /^(u|user|g|group|m|mask|o|other):(?:([^:]*):)?([r-][w-][x-])(?::(\d{1,10}))?$/;

/**
 * The attribute's bytes; undefined for an empty text; `"names"` where it names users or groups without their numbers,
 * which are another host's.
 *
 * @param key The record's, for the message.
 * @throws {StorageError} `invalid_archive`: it is no ACL.
 */
export function aclOfText(key: string, text: ByteString): Uint8Array<ArrayBuffer> | "names" | undefined {
  const lines = text.split(/[,\n]/).map((line) => line.replace(/#.*/, "").trim()).filter((line) => line !== "");
  if (lines.length === 0) return undefined;
  const entries: AclEntry[] = [];
  for (const line of lines) {
    const entry = entryOf(line);
    if (entry === "name") return "names";
    if (entry === undefined) throw invalidPax(`record "${key}" is no ACL: ${JSON.stringify(line.slice(0, 40))}`);
    entries.push(entry);
  }
  entries.sort((a, b) => a.tag - b.tag || a.id - b.id);
  if (!isComplete(entries)) throw invalidPax(`record "${key}" is no ACL: entries are missing, or are there twice`);
  return encode(entries);
}

function entryOf(line: string): AclEntry | "name" | undefined {
  const match = ENTRY_REGEXP.exec(line);
  if (match === null) return undefined;
  const [, type, qualifier = "", letters, idField] = match;
  const permissions = [...letters!].reduce((bits, letter) => bits * 2 + (letter === "-" ? 0 : 1), 0);
  if (qualifier === "") return { tag: TAGS[type![0]!]!, permissions, id: NOBODY };
  if (type![0] !== "u" && type![0] !== "g") return undefined;
  const digits = idField ?? qualifier;
  if (!/^\d+$/.test(digits)) return "name";
  const id = Number(digits);
  return id < NOBODY ? { tag: type![0] === "u" ? USER : GROUP, permissions, id } : undefined;
}

const TAGS: Readonly<Record<string, number>> = { u: USER_OBJ, g: GROUP_OBJ, m: MASK, o: OTHER };

/** What posix_acl_valid() of the kernel demands of sorted entries. */
function isComplete(entries: readonly AclEntry[]): boolean {
  const isTwice = entries.some(({ tag, id }, i) => entries[i + 1]?.tag === tag && entries[i + 1]?.id === id);
  const tags = new Set(entries.map(({ tag }) => tag));
  const needsMask = tags.has(USER) || tags.has(GROUP);
  return !isTwice && tags.has(USER_OBJ) && tags.has(GROUP_OBJ) && tags.has(OTHER) && (!needsMask || tags.has(MASK));
}

function encode(entries: readonly AclEntry[]): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(new ArrayBuffer(4 + 8 * entries.length));
  bytes.writeUInt32LE(VERSION, 0);
  entries.forEach(({ tag, permissions, id }, i) => {
    bytes.writeUInt16LE(tag, 4 + 8 * i);
    bytes.writeUInt16LE(permissions, 6 + 8 * i);
    bytes.writeUInt32LE(id, 8 + 8 * i);
  });
  return new Uint8Array(bytes.buffer);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * POSIX ACLs as the kernel keeps them in attributes, changed entry by entry: linux/posix_acl_xattr.h.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** The attributes that hold ACLs: see acl(5). */
export const ACL_XATTRS = ["system.posix_acl_access", "system.posix_acl_default"] as const;

const HEADER_SIZE = 4;
const ENTRY_SIZE = 8;
const USER_OBJ = 0x01;
const USER = 0x02;
const GROUP_OBJ = 0x04;
const GROUP = 0x08;
const MASK = 0x10;
const OTHER = 0x20;

/** An entry's offset and kind. */
function* entriesOf(acl: Buffer): Generator<{ at: number; tag: number }> {
  for (let at = HEADER_SIZE; at + ENTRY_SIZE <= acl.length; at += ENTRY_SIZE) yield { at, tag: acl.readUInt16LE(at) };
}

function copyOf(acl: Uint8Array): Buffer<ArrayBuffer> {
  const copy = Buffer.from(new ArrayBuffer(acl.length));
  copy.set(acl);
  return copy;
}

/** The access ACL of a file that gets the permissions of `mode`: what chmod(2) makes of it. */
export function aclWithMode(acl: Uint8Array, mode: number): Uint8Array<ArrayBuffer> {
  const changed = copyOf(acl);
  const hasMask = [...entriesOf(changed)].some(({ tag }) => tag === MASK);
  const shifts = new Map([[USER_OBJ, 6], [hasMask ? MASK : GROUP_OBJ, 3], [OTHER, 0]]);
  for (const { at, tag } of entriesOf(changed)) {
    const shift = shifts.get(tag);
    if (shift !== undefined) changed.writeUInt16LE((mode >> shift) & 0o7, at + 2);
  }
  return new Uint8Array(changed.buffer);
}

/** The ACL with the users and groups that it names under other ids. */
export function aclWithIds(
  acl: Uint8Array,
  ids: { uid(uid: number): number; gid(gid: number): number },
): Uint8Array<ArrayBuffer> {
  const changed = copyOf(acl);
  for (const { at, tag } of entriesOf(changed)) {
    if (tag !== USER && tag !== GROUP) continue;
    const id = changed.readUInt32LE(at + 4);
    changed.writeUInt32LE(tag === USER ? ids.uid(id) : ids.gid(id), at + 4);
  }
  return new Uint8Array(changed.buffer);
}

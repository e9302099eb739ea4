// SPDX-License-Identifier: Apache-2.0

/**
 * Extended attributes that name ids: ACLs, and capabilities that count in the user namespaces of one root only.
 *
 * @module
 */

import { ACL_XATTRS, aclWithIds } from "./acl_entries.ts";

/** Gives ids for others. */
export interface IdFunctions {
  uid(uid: number): number;
  gid(gid: number): number;
}

/** The attribute of capabilities(7). */
export const CAPABILITY = "security.capability";

/** `struct vfs_ns_cap_data` (linux/capability.h): as `struct vfs_cap_data`, and the uid of the namespaces' root at its end. */
const NAMESPACE_CAPABILITY_SIZE = 24;
const CAPABILITY_SIZE = 20;
const ROOT_ID_AT = 20;
/** Revision 2 in the upper byte of the first word, the flags stay. */
const REVISION_MASK = 0x00ffffff;
const REVISION_2 = 0x02000000;

/** Whether the attribute may name ids. */
export function namesIds(name: string): boolean {
  return name === CAPABILITY || (ACL_XATTRS as readonly string[]).includes(name);
}

/** The value of an attribute for which {@linkcode namesIds}, with other ids in it. */
export function withIds(name: string, value: Uint8Array<ArrayBuffer>, ids: IdFunctions): Uint8Array<ArrayBuffer> {
  return name === CAPABILITY ? capabilityWithIds(value, ids) : aclWithIds(value, ids);
}

function capabilityWithIds(value: Uint8Array<ArrayBuffer>, ids: IdFunctions): Uint8Array<ArrayBuffer> {
  if (value.length !== NAMESPACE_CAPABILITY_SIZE) return value;
  const changed = value.slice();
  const view = new DataView(changed.buffer);
  const root = ids.uid(view.getUint32(ROOT_ID_AT, true));
  view.setUint32(ROOT_ID_AT, root, true);
  if (root !== 0) return changed;
  // The root of no namespace in particular: what every tool knows, and every archive holds.
  view.setUint32(0, view.getUint32(0, true) & REVISION_MASK | REVISION_2, true);
  return changed.slice(0, CAPABILITY_SIZE);
}

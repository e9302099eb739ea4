// SPDX-License-Identifier: Apache-2.0

/**
 * The extended attributes that unpacked files get: those of their entry that are content, as far as the caller's policy
 * and the file system go, and an account of the others.
 *
 * @module
 */

import { ERRNO } from "../../ffi/errno.ts";
import { type ByteString, textOfBytes } from "../util/byte_string.ts";
import { setXattrs, setXattrsOf, type Xattr } from "./_set_xattrs.ts";
import type { TarEntry } from "./header.ts";
import { type MaskedEntries, OVERRIDE_STAT } from "./override_stat.ts";
import { type DroppedXattr, isHostXattr, isStorageXattr, type XattrPolicies, xattrPolicyOf } from "./xattr_filter.ts";

/** Names in the account at most: an archive can hold a different one in every entry. */
const REPORTED_AT_MOST = 1000;

/** Sets attributes, and remembers which it left out. */
export class EntryXattrs {
  readonly #policies: XattrPolicies;
  readonly #dropped = new Map<string, DroppedXattr["reason"]>();

  /** @param masked Where the attribute comes from that a mask makes necessary. */
  constructor(policies: XattrPolicies = {}, readonly masked?: MaskedEntries) {
    this.#policies = policies;
  }

  /** What was left out, in the order of the names. */
  get dropped(): DroppedXattr[] {
    return [...this.#dropped].map(([name, reason]) => ({ name, reason })).sort((a, b) => a.name < b.name ? -1 : 1);
  }

  /** The attributes of `entry` that are to be set. */
  of(entry: TarEntry): Xattr[] {
    const own: Xattr[] = [];
    for (const [name, value] of entry.xattrs!) {
      if (isStorageXattr(name)) this.#drop(name, "storage");
      else if (isHostXattr(name)) this.#drop(name, "host");
      else if (this.isDropped(name)) this.#drop(name, "policy");
      else own.push([name, value]);
    }
    const override = this.masked?.value;
    if (override !== undefined) own.push([OVERRIDE_STAT, override]);
    return own;
  }

  /** Notes the attributes of `entry` that the archive holds in a form that cannot be read. */
  noteUnread(entry: TarEntry): void {
    if (entry.unreadXattrs !== undefined) { for (const name of entry.unreadXattrs) this.#drop(name, "not_supported"); }
  }

  /** Whether the caller does without the attribute `name`. */
  isDropped(name: string): boolean {
    return xattrPolicyOf(name, this.#policies) === "drop";
  }

  /** As `setXattrs`, but for attributes that may fail. */
  set(fd: number, path: ByteString, xattrs: readonly Xattr[]): void {
    setXattrs(fd, path, xattrs, this.#mayFail);
  }

  /** As `setXattrsOf`, but for attributes that may fail. */
  setOf(parent: { fd: number }, path: ByteString, xattrs: readonly Xattr[]): void {
    setXattrsOf(parent, path, xattrs, this.#mayFail);
  }

  readonly #mayFail = (name: string, errno: number): boolean => {
    if (errno !== ERRNO.EOPNOTSUPP && errno !== ERRNO.EPERM) return false;
    if (xattrPolicyOf(name, this.#policies) !== "best-effort") return false;
    this.#drop(name, "not_supported");
    return true;
  };

  #drop(name: string, reason: DroppedXattr["reason"]): void {
    if (this.#dropped.size < REPORTED_AT_MOST) this.#dropped.set(textOfBytes(name), reason);
  }
}

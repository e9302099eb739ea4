// SPDX-License-Identifier: Apache-2.0

/**
 * What a directory gets only when everything is in it: its times, which every new name in it would change; its mode,
 * which may forbid its own owner to fill it; its default ACL, which everything made in it would inherit.
 *
 * @module
 */

import { AT_SYMLINK_NOFOLLOW } from "../../ffi/file.ts";
import { lchmodat, lutimesat } from "../../ffi/owner.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import { type ByteString, CName } from "../util/byte_string.ts";
import type { Directories } from "./_directories.ts";
import type { EntryXattrs } from "./_entry_xattrs.ts";
import type { Xattr } from "./_set_xattrs.ts";
import { leafOf, parentOf } from "./entry_path.ts";
import type { TarEntry } from "./header.ts";

/** The attribute that holds a directory's default ACL: see acl(5). */
const DEFAULT_ACL = "system.posix_acl_default";

/** What there is to finish a directory with. */
export type LateMetadata = Pick<TarEntry, "mtimeSeconds" | "mtimeNanoseconds" | "xattrs">;

/** What a directory can get at once. */
export function withoutDefaultAcl(xattrs: readonly Xattr[]): Xattr[] {
  return xattrs.filter(([name]) => name !== DEFAULT_ACL);
}

interface LateDirectory {
  /** Undefined where the directory has its mode already. */
  mode: number | undefined;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  defaultAcl: Uint8Array<ArrayBuffer> | undefined;
}

/** Directories that wait to be finished. */
export class LateDirectories {
  readonly #late = new Map<ByteString, LateDirectory>();
  readonly #directories: Directories;
  readonly #xattrs: EntryXattrs;
  readonly #leaf = new CName();
  readonly #stat = new Stat();

  constructor(directories: Directories, xattrs: EntryXattrs) {
    this.#directories = directories;
    this.#xattrs = xattrs;
  }

  /** Notes what `entry` says of the directory `path`. The last entry of a path wins. */
  add(path: ByteString, entry: LateMetadata, mode: number | undefined): void {
    // Deleted first, so that a path goes to the end: one directory under two names is finished in the archive's order.
    this.#late.delete(path);
    this.#late.set(path, {
      mode,
      mtimeSeconds: entry.mtimeSeconds,
      mtimeNanoseconds: entry.mtimeNanoseconds,
      defaultAcl: this.#xattrs.isDropped(DEFAULT_ACL) ? undefined : entry.xattrs?.get(DEFAULT_ACL),
    });
  }

  /** Finishes them all, children before parents: a parent's mode may forbid an ordinary user to reach them. */
  finish(): void {
    for (const [path, late] of [...this.#late].reverse()) {
      this.#directories.trim();
      this.#finishOne(path, late);
    }
  }

  #finishOne(path: ByteString, late: LateDirectory): void {
    const parent = this.#directories.find(parentOf(path));
    if (parent === undefined) return;
    const name = path === "" ? "." : leafOf(path);
    const leaf = this.#leaf.fill(name);
    // A later entry may have put something else in its place.
    if (tryStatx(parent.fd, leaf, AT_SYMLINK_NOFOLLOW, this.#stat) < 0 || !this.#stat.isDirectory) return;
    if (late.defaultAcl !== undefined) this.#xattrs.setOf(parent, name, [[DEFAULT_ACL, late.defaultAcl]]);
    if (late.mode !== undefined) lchmodat(parent.fd, leaf, late.mode);
    lutimesat(parent.fd, leaf, late.mtimeSeconds, late.mtimeNanoseconds);
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The root directory of a layer's content, made and read by the rules of _content_rules.ts.
 *
 * @module
 */

import { AT_FDCWD } from "../../ffi/file.ts";
import { S_IFDIR, type Stat, statat } from "../../ffi/stat.ts";
import { lsetxattr } from "../../ffi/xattr.ts";
import { OVERRIDE_STAT, overrideDirectory, overrideStatOf } from "../archive/override_stat.ts";
import type { ContentRules } from "./_content_rules.ts";
import { makeOwnedDirectory, type Owner } from "./_owner.ts";

/** What a root directory is like. */
type RootStat = Pick<Stat, "mode" | "uid" | "gid">;

/**
 * Makes the root of a layer's content at `path`.
 *
 * @param owner Whom it belongs to on disk where it is masked.
 */
export function makeContentRoot(path: string, root: RootStat, owner: Owner, { forceMask }: ContentRules): void {
  const { uid, gid } = root;
  const mode = root.mode & 0o7777;
  if (forceMask === undefined) return makeOwnedDirectory(path, mode, { uid, gid });
  makeOwnedDirectory(path, forceMask, owner);
  lsetxattr(path, OVERRIDE_STAT, overrideStatOf({ uid, gid, mode: S_IFDIR | mode, rdevMajor: 0, rdevMinor: 0 }));
}

/** The root at `path` as it really is. */
export function contentRootAt(path: string, { forceMask }: ContentRules): Stat {
  const stat = statat(AT_FDCWD, path);
  if (forceMask !== undefined) overrideDirectory(path, stat);
  return stat;
}

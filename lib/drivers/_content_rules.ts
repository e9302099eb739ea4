// SPDX-License-Identifier: Apache-2.0

/**
 * How owners and modes of a layer's files are kept, and what its root directory has by these rules.
 *
 * @module
 */

import { AT_FDCWD } from "../../ffi/file.ts";
import { S_IFDIR, type Stat, statat } from "../../ffi/stat.ts";
import { lsetxattr } from "../../ffi/xattr.ts";
import { OVERRIDE_STAT, overrideDirectory, overrideStatOf } from "../archive/override_stat.ts";
import type { UnpackResult } from "../archive/unpack.ts";
import type { Logger } from "../log.ts";
import { makeOwnedDirectory, type Owner } from "./_owner.ts";

/** The rules. */
export interface ContentRules {
  /** The mode of everything on disk, while owners and modes are in an attribute: see override_stat.ts. */
  readonly forceMask: number | undefined;
  /** Whether owners that cannot be set are passed over. */
  readonly ignoreChownErrors: boolean;
}

/** Files have their own owners and modes. */
export const PLAIN: ContentRules = { forceMask: undefined, ignoreChownErrors: false };

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

/** Tells of owners that could not be set. */
export function warnOfOwners(id: string, { unsetOwners }: UnpackResult, logger: Logger): void {
  if (unsetOwners === 0) return;
  logger.warn(`layer "${id}": ${unsetOwners} files have not got the owner that the archive says, and belong to us`);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Directories with an exact owner and mode, whatever the umask.
 *
 * @module
 */

import { AT_FDCWD, mkdirat } from "../../ffi/file.ts";
import { fchmodat, lchownat } from "../../ffi/owner.ts";
import { getegid, geteuid } from "../../ffi/process.ts";

/** Ids of the host. */
export interface Owner {
  uid: number;
  gid: number;
}

/** Makes the directory `path`, which is not there yet. */
export function makeOwnedDirectory(path: string, mode: number, { uid, gid }: Owner): void {
  mkdirat(AT_FDCWD, path, mode);
  if (uid !== geteuid() || gid !== getegid()) lchownat(AT_FDCWD, path, uid, gid);
  fchmodat(AT_FDCWD, path, mode);
}

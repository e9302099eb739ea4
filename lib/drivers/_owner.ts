// SPDX-License-Identifier: Apache-2.0

/**
 * Directories with an exact owner and mode, whatever the umask.
 *
 * @module
 */

import { AT_FDCWD, mkdirat } from "../../ffi/file.ts";
import { fchmodat, lchownat } from "../../ffi/owner.ts";
import { Stat, statat } from "../../ffi/stat.ts";
import { getegid, geteuid } from "../../ffi/process.ts";

const MODE_BITS = 0o7777;
/** Filled and read within one call. */
const made = new Stat();

/** Ids of the host. */
export interface Owner {
  uid: number;
  gid: number;
}

let own: Owner | undefined;

/** Whose files are that this process makes. It is asked for once: a program of Deno's cannot change its ids. */
export function ourselves(): Owner {
  return own ??= { uid: geteuid(), gid: getegid() };
}

/** Whether what this process makes is `owner`'s without more ado. */
export function isOwn({ uid, gid }: Owner): boolean {
  const { uid: ourUid, gid: ourGid } = ourselves();
  return uid === ourUid && gid === ourGid;
}

/** Makes the directory `path`, which is not there yet. */
export function makeOwnedDirectory(path: string, mode: number, owner: Owner): void {
  mkdirat(AT_FDCWD, path, mode);
  if (!isOwn(owner)) lchownat(AT_FDCWD, path, owner.uid, owner.gid);
  // The umask may have taken some of it; to set what is there would cost more than to look.
  if ((statat(AT_FDCWD, path, made).mode & MODE_BITS) !== mode) fchmodat(AT_FDCWD, path, mode);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Mounts by a string of options: mount(2), umount2(2). The newer interface is in mount_api.ts.
 *
 * @module
 */

import { type CPath, cpath, cpathOrNull, cstring } from "./_cstring.ts";
import { lastErrno, libc } from "./_libc.ts";
import { failure, hex } from "./errno.ts";

export const MS_RDONLY = 0x1;
export const MS_NOSUID = 0x2;
export const MS_NODEV = 0x4;
export const MS_NOEXEC = 0x8;
export const MS_SYNCHRONOUS = 0x10;
export const MS_REMOUNT = 0x20;
export const MS_BIND = 0x1000;
export const MS_REC = 0x4000;
export const MS_PRIVATE = 0x40000;

export const MNT_FORCE = 0x1;
export const MNT_DETACH = 0x2;
export const UMOUNT_NOFOLLOW = 0x8;

/**
 * `mount(source, target, fstype, flags, data)`. See mount(2). Requires CAP_SYS_ADMIN.
 *
 * The kernel copies one page of `data` and drops the rest without a word: the caller counts the bytes.
 */
export function mount(
  source: CPath | null,
  target: CPath,
  fstype: string | null,
  flags: number,
  data: CPath | null,
): void {
  if (libc.mount(cpathOrNull(source), cpath(target), cpathOrNull(fstype), BigInt(flags), cpathOrNull(data)) === -1) {
    throw failure(lastErrno(), "mount", source, target, fstype, hex(flags), data);
  }
}

/** `umount2(target, flags | UMOUNT_NOFOLLOW)`. See umount(2). Requires CAP_SYS_ADMIN. */
export function umount2(target: CPath, flags: number): void {
  if (libc.umount2(cpath(target), flags | UMOUNT_NOFOLLOW) === -1) {
    throw failure(lastErrno(), "umount2", target, hex(flags | UMOUNT_NOFOLLOW));
  }
}

/** What calls read that run beside this thread: the collector must not take it before they have returned. */
const givenAway = new Set<Uint8Array>();

/** As {@linkcode umount2}, while this thread goes on. False where it fails: the errno stays with the thread that met it. */
export async function tryUmount2Beside(target: string, flags: number): Promise<boolean> {
  const name = cstring(target);
  givenAway.add(name);
  try {
    return await libc.umount2_beside(name, flags | UMOUNT_NOFOLLOW) === 0;
  } finally {
    givenAway.delete(name);
  }
}

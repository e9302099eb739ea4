// SPDX-License-Identifier: Apache-2.0

/**
 * Telling by its modification time whether a directory got or lost a name. See inode(7).
 *
 * Kernels before 6.13 take the time from a clock that stands still for some milliseconds, in which a second change shows in no
 * way: so a time tells something only when it was a while ago already when the directory was read.
 *
 * @module
 */

import type { Stat } from "../../ffi/stat.ts";

/** Longer than that clock stands still: it has at least 100 ticks a second. */
const SETTLED_AFTER_MS = 100;
/** Where a file system keeps whole seconds only; FAT keeps even ones. */
const COARSE_SETTLED_AFTER_MS = 3000;

/** Whether all that changes in the directory from now on, since `stat` was read, has another time than `stat`. */
export function showsNextChange({ mtimeSeconds, mtimeNanoseconds }: Stat): boolean {
  const ageMs = Date.now() - mtimeSeconds * 1000 - mtimeNanoseconds / 1e6;
  return ageMs > (mtimeNanoseconds === 0 ? COARSE_SETTLED_AFTER_MS : SETTLED_AFTER_MS);
}

/** Whether both are of one directory, and of the same time. */
export function isUnchanged(stat: Stat, before: Stat): boolean {
  return stat.isSameFile(before) && stat.isModifiedWith(before);
}

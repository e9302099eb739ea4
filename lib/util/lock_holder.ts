// SPDX-License-Identifier: Apache-2.0

/**
 * Who holds a lock, for those who have waited for it in vain: `/proc/locks` knows, see proc_locks(5).
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD } from "../../ffi/file.ts";
import { Stat, statat } from "../../ffi/stat.ts";
import { readTextFile } from "./read_file.ts";

/** A process. */
export interface LockHolder {
  pid: number;
  /** Its name, as ps(1) shows it. */
  program: string;
}

/** The process that locked the file or directory `path`; undefined where none did, or the kernel does not tell us. */
export function lockHolderOf(path: string): LockHolder | undefined {
  try {
    const { devMajor, devMinor, ino } = statat(AT_FDCWD, path, new Stat());
    const hex = (part: number): string => part.toString(16).padStart(2, "0");
    const file = `${hex(devMajor)}:${hex(devMinor)}:${ino}`;
    for (const line of readTextFile("/proc/locks").split("\n")) {
      // "1: FLOCK  ADVISORY  WRITE 708 fe:00:5242 0 EOF"; who waits has "->" before the kind.
      const [, kind, , , pid, of] = line.split(/\s+/);
      if (kind !== "FLOCK" || of !== file || !(Number(pid) > 0)) continue;
      return { pid: Number(pid), program: readTextFile(`/proc/${pid}/comm`).trim() };
    }
  } catch (error) {
    // The holder let go, or nobody may look.
    if (!isErrno(error)) throw error;
  }
  return undefined;
}

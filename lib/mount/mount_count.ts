// SPDX-License-Identifier: Apache-2.0

/**
 * How many users a mount has, over all processes. The number lies in the run root, so it ends with the machine; the caller
 * holds the layer's lock while it reads and writes. It is the target of a symbolic link, which the kernel makes, and tells,
 * in one call: nobody ever sees half of it.
 *
 * The link and the mount can tell different stories, and each pair has one meaning:
 *
 * | link | mounted | count | because |
 * | --- | --- | --- | --- |
 * | none | no | 0 | nobody has it |
 * | none | yes | 1 | somebody else mounted it: dockerd before us, or an operator |
 * | n | yes | n | the usual case |
 * | n | no | 0 | a process was killed before its mount or after its unmount, the layer was unmounted behind our back, the run root outlived the machine, or it is mounted in another mount namespace |
 *
 * So the first user is counted before the mount, and forgotten after the unmount: who dies in between leaves nothing that
 * has to be cleared away by hand.
 *
 * @module
 */

import { ERRNO, failure, isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, renameat2, symlinkat, tryReadlinkat, trySymlinkat, tryUnlinkat } from "../../ffi/file.ts";
import { makeRunDirectory } from "../util/run_file.ts";

/** Filled and read within one call. */
const target = new Uint8Array(32);
const [ZERO, NINE] = [0x30, 0x39];

/** The count of one layer's mount. */
export class MountCount {
  /** @param file The link. */
  constructor(readonly file: string) {}

  /** The number of users, given whether the layer is mounted at the moment. */
  read(isMounted: boolean): number {
    if (!isMounted) return 0;
    const length = tryReadlinkat(AT_FDCWD, this.file, target);
    if (length < 0 && length !== -ERRNO.ENOENT && length !== -ERRNO.EINVAL) {
      throw failure(-length, "readlinkat", AT_FDCWD, this.file);
    }
    return length > 0 ? parseCount(length) ?? 1 : 1;
  }

  /** Whether there is a link, be the layer mounted here or not. */
  get isNoted(): boolean {
    return tryReadlinkat(AT_FDCWD, this.file, target) > 0;
  }

  /** Notes the number of users. */
  write(count: number): void {
    let made = trySymlinkat(String(count), AT_FDCWD, this.file);
    if (made === -ERRNO.ENOENT) {
      // Somebody cleared the run root away.
      makeRunDirectory(this.file.slice(0, this.file.lastIndexOf("/")));
      made = trySymlinkat(String(count), AT_FDCWD, this.file);
    }
    if (made === 0) return;
    if (made !== -ERRNO.EEXIST) throw failure(-made, "symlinkat", count, AT_FDCWD, this.file);
    const aside = `${this.file}.new`;
    let result = trySymlinkat(String(count), AT_FDCWD, aside);
    if (result === -ERRNO.EEXIST) {
      // Somebody was killed before he could rename it.
      tryUnlinkat(AT_FDCWD, aside);
      result = trySymlinkat(String(count), AT_FDCWD, aside);
    }
    if (result < 0) throw failure(-result, "symlinkat", count, AT_FDCWD, aside);
    renameat2(AT_FDCWD, aside, AT_FDCWD, this.file);
  }

  /** Notes that one user is gone and `count` of them are left: also where not one inode is free. */
  lower(count: number): void {
    try {
      this.write(count);
    } catch (error) {
      if (!isErrno(error, "ENOSPC", "EDQUOT")) throw error;
      // The link gives its own inode back. Who dies before there is a new one leaves a mount of one user.
      this.clear();
      if (count !== 1) symlinkat(String(count), AT_FDCWD, this.file);
    }
  }

  /** Notes that the mount is gone. */
  clear(): void {
    tryUnlinkat(AT_FDCWD, this.file);
  }
}

/** The number that the first bytes of `target` spell, if they do. */
function parseCount(length: number): number | undefined {
  let count = 0;
  for (let i = 0; i < length; i++) {
    const byte = target[i]!;
    if (byte < ZERO || byte > NINE) return undefined;
    count = 10 * count + byte - ZERO;
  }
  return count;
}

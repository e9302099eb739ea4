// SPDX-License-Identifier: Apache-2.0

/**
 * How many users a mount has, over all processes. The number lies in a file of the run root, so it ends with the machine;
 * the caller holds the layer's lock while it reads and writes.
 *
 * The file and the mount can tell different stories, and each pair has one meaning:
 *
 * | file | mounted | count | because |
 * | --- | --- | --- | --- |
 * | none | no | 0 | nobody has it |
 * | none | yes | 1 | somebody else mounted it: dockerd before us, or an operator |
 * | n | yes | n | the usual case; 0 is a process that was killed between its mount and its count, or between the other way round |
 * | n | no | 0 | it was unmounted behind our back, the run root outlived the machine, or it is mounted in another mount namespace |
 *
 * So a user who dies in the middle of `get` or `put` leaves nothing that has to be cleared away by hand.
 *
 * @module
 */

import { AT_FDCWD, tryUnlinkat } from "../../ffi/file.ts";
import { replaceFileQuickly } from "../util/run_file.ts";
import { readTextFileIfExists } from "../util/read_file.ts";

/** The count of one layer's mount. */
export class MountCount {
  /** @param file Where the number lies. */
  constructor(readonly file: string) {}

  /** The number of users, given whether the layer is mounted at the moment. */
  read(isMounted: boolean): number {
    const text = readTextFileIfExists(this.file);
    if (!isMounted) return 0;
    if (text === undefined) return 1;
    const count = Number(text);
    return Number.isInteger(count) && count >= 0 ? count : 1;
  }

  /** Whether the file tells of users, be the layer mounted here or not. */
  get tellsOfUsers(): boolean {
    return Number(readTextFileIfExists(this.file) ?? "0") > 0;
  }

  /** Notes the number of users. */
  write(count: number): void {
    replaceFileQuickly(this.file, String(count));
  }

  /** Notes that the mount is gone. */
  clear(): void {
    tryUnlinkat(AT_FDCWD, this.file);
  }
}

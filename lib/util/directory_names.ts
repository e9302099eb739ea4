// SPDX-License-Identifier: Apache-2.0

/**
 * The names in a directory that seldom changes, for those who ask often: one system call tells that they are still the same.
 * By what, and when that is to be trusted, is in modification_time.ts.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import { ERRNO, failure, hex } from "../../ffi/errno.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, tryOpenat } from "../../ffi/file.ts";
import { fstat, Stat, tryStatx } from "../../ffi/stat.ts";
import { isUnchanged, showsNextChange } from "./modification_time.ts";
import { textOf } from "./text.ts";

const FLAGS = O_RDONLY | O_DIRECTORY;
const NONE: ReadonlySet<string> = new Set();

/** Filled and read within one call. */
const now = new Stat();

/** The names in one directory, which need not be there. */
export class DirectoryNames {
  /** The directory when `#names` were read. */
  readonly #seen = new Stat();
  #names: ReadonlySet<string> | undefined;

  constructor(readonly path: string) {}

  /** The names that there are. */
  read(): ReadonlySet<string> {
    const result = tryStatx(AT_FDCWD, this.path, 0, now);
    if (result === -ERRNO.ENOENT) return NONE;
    if (result < 0) throw failure(-result, "statx", AT_FDCWD, this.path, 0);
    return this.#names !== undefined && isUnchanged(now, this.#seen) ? this.#names : this.#readAnew();
  }

  #readAnew(): ReadonlySet<string> {
    this.#names = undefined;
    const fd = tryOpenat(AT_FDCWD, this.path, FLAGS);
    if (fd === -ERRNO.ENOENT) return NONE;
    if (fd < 0) throw failure(-fd, "openat", AT_FDCWD, this.path, hex(FLAGS));
    using directory = new Fd(fd);
    // Before the names: what changes while they are read shows in the time that the next call sees.
    const canTell = showsNextChange(fstat(directory.fd, this.#seen));
    const names = new Set<string>();
    readDirectory(directory.fd, (buffer, start, end) => names.add(textOf(buffer.subarray(start, end))));
    if (canTell) this.#names = names;
    return names;
  }
}

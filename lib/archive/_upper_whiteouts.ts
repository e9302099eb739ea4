// SPDX-License-Identifier: Apache-2.0

/**
 * Whiteouts in the upper directory of an overlay: what overlayfs itself takes for deleted names, a character device 0:0
 * and an attribute of the directory.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { mknodat, unlinkat } from "../../ffi/file.ts";
import { lstatat, S_IFCHR, Stat } from "../../ffi/stat.ts";
import { type ByteString, CName } from "../util/byte_string.ts";
import type { OpenDirectory } from "./_directories.ts";
import { setXattrsOf } from "./_set_xattrs.ts";
import { realPath, type WhiteoutTarget } from "./_whiteout_target.ts";
import { OPAQUE_VALUE } from "./whiteout.ts";

/** Marks deletions for overlayfs. */
export class UpperWhiteouts implements WhiteoutTarget {
  /** Names this archive deleted: a directory that comes back under one must not show what was deleted. */
  readonly #deleted = new Set<ByteString>();
  readonly #leaf = new CName();
  readonly #stat = new Stat();

  constructor(readonly opaqueXattr: string) {}

  deleteName(parent: OpenDirectory, name: ByteString): void {
    this.#deleted.add(realPath(parent, name));
    const leaf = this.#leaf.fill(name);
    try {
      mknodat(parent.fd, leaf, S_IFCHR, 0, 0);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      if (lstatat(parent.fd, leaf, this.#stat).isDirectory) this.#mark(parent, name);
    }
  }

  makeOpaque(directory: OpenDirectory): void {
    this.#mark(directory, ".");
  }

  made(): void {}

  madeDirectory(parent: OpenDirectory, leaf: ByteString): void {
    if (this.#deleted.size > 0 && this.#deleted.has(realPath(parent, leaf))) this.#mark(parent, leaf);
  }

  clearWay(parent: OpenDirectory, name: ByteString): boolean {
    const leaf = this.#leaf.fill(name);
    if (!lstatat(parent.fd, leaf, this.#stat).isOverlayWhiteout) return false;
    unlinkat(parent.fd, leaf);
    return true;
  }

  #mark(parent: OpenDirectory, leaf: ByteString): void {
    setXattrsOf(parent, leaf, [[this.opaqueXattr, OPAQUE_VALUE]]);
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Whiteouts in the upper directory of a mount program, as the files that they are in the archive: `.wh.NAME`, and
 * `.wh..wh..opq` in an opaque directory. This is what aufs had, what containers/storage writes for fuse-overlayfs, and
 * what needs no privilege at all.
 *
 * Unlike a device, such a file has another name than what it deletes, and the program lets it hide its neighbour. So it
 * goes when the archive makes that name.
 *
 * @module
 */

import { ERRNO, failure } from "../../ffi/errno.ts";
import { AT_SYMLINK_NOFOLLOW, close, O_CREAT, O_NOFOLLOW, O_WRONLY, openat, tryUnlinkat } from "../../ffi/file.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import { type ByteString, CName } from "../util/byte_string.ts";
import type { OpenDirectory } from "./_directories.ts";
import { realPath, type WhiteoutTarget } from "./_whiteout_target.ts";
import { OCI_OPAQUE, OCI_WHITEOUT_PREFIX } from "./whiteout.ts";

const MARKER_MODE = 0o600;

/** Marks deletions for a mount program. */
export class MarkerWhiteouts implements WhiteoutTarget {
  /** Names this archive deleted: a directory that comes back under one must not show what was deleted. */
  readonly #deleted = new Set<ByteString>();
  readonly #leaf = new CName();
  readonly #stat = new Stat();

  deleteName(parent: OpenDirectory, name: ByteString): void {
    this.#deleted.add(realPath(parent, name));
    const isMissing = tryStatx(parent.fd, this.#leaf.fill(name), AT_SYMLINK_NOFOLLOW, this.#stat) < 0;
    if (isMissing) this.#mark(parent, OCI_WHITEOUT_PREFIX + name);
    else if (this.#stat.isDirectory) this.#mark(parent, `${name}/${OCI_OPAQUE}`);
  }

  makeOpaque(directory: OpenDirectory): void {
    this.#mark(directory, OCI_OPAQUE);
  }

  made(parent: OpenDirectory, leaf: ByteString): void {
    if (this.#deleted.size === 0 || !this.#deleted.has(realPath(parent, leaf))) return;
    const marker = this.#leaf.fill(OCI_WHITEOUT_PREFIX + leaf);
    const result = tryUnlinkat(parent.fd, marker);
    if (result < 0 && result !== -ERRNO.ENOENT) throw failure(-result, "unlinkat", parent.fd, marker);
  }

  madeDirectory(parent: OpenDirectory, leaf: ByteString): void {
    this.made(parent, leaf);
    if (this.#deleted.size > 0 && this.#deleted.has(realPath(parent, leaf))) {
      this.#mark(parent, `${leaf}/${OCI_OPAQUE}`);
    }
  }

  clearWay(): boolean {
    return false;
  }

  #mark(parent: OpenDirectory, path: ByteString): void {
    close(openat(parent.fd, this.#leaf.fill(path), O_WRONLY | O_CREAT | O_NOFOLLOW, MARKER_MODE));
  }
}

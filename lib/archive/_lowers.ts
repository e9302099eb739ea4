// SPDX-License-Identifier: Apache-2.0

/**
 * Single names in the layers below one, as overlayfs would show them. Walking all of them is changes.ts.
 *
 * @module
 */

import { ERRNO, failure, hex } from "../../ffi/errno.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "../../ffi/file.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import { type ByteString, CName } from "../util/byte_string.ts";
import type { LayerMarks } from "./_layer_marks.ts";

/** A name that was found, and the open directory it is in. */
export class LowerName implements Disposable {
  constructor(readonly parent: Fd, readonly leaf: ByteString, readonly stat: Stat) {}

  [Symbol.dispose](): void {
    this.parent[Symbol.dispose]();
  }
}

/** What one layer says of a name: nothing, that it is gone, or what it is. */
type Answer = LowerName | "unknown" | "hidden";

/** The layers below, uppermost first. */
export class Lowers {
  readonly #lowerDirs: readonly string[];
  readonly #marks: LayerMarks;
  readonly #leaf = new CName();

  constructor(lowerDirs: readonly string[], marks: LayerMarks) {
    this.#lowerDirs = lowerDirs;
    this.#marks = marks;
  }

  /** What they show as `path`, which leads through directories only; undefined if nothing. */
  find(path: ByteString): LowerName | undefined {
    for (const lowerDir of this.#lowerDirs) {
      const answer = this.#ask(lowerDir, path.split("/"));
      if (answer === "hidden") return undefined;
      if (answer !== "unknown") return answer;
    }
    return undefined;
  }

  #ask(lowerDir: string, parts: readonly ByteString[]): Answer {
    // An opaque directory hides what lies under it in the layers further below.
    let nothing: "unknown" | "hidden" = "unknown";
    let directory = openDirectory(AT_FDCWD, lowerDir);
    try {
      for (const [i, part] of parts.entries()) {
        const stat = new Stat();
        const leaf = this.#leaf.fill(part);
        if (this.#marks.isMarkedDeleted(directory.fd, part)) return "hidden";
        const result = tryStatx(directory.fd, leaf, AT_SYMLINK_NOFOLLOW, stat);
        if (result === -ERRNO.ENOENT) return nothing;
        if (result < 0) throw failure(-result, "statx", directory.fd, part, hex(AT_SYMLINK_NOFOLLOW));
        if (i === parts.length - 1 && !stat.isOverlayWhiteout) {
          return new LowerName(new Fd(directory.release()), part, stat);
        }
        if (!stat.isDirectory) return "hidden";
        const parent = directory;
        directory = openDirectory(parent.fd, leaf);
        parent[Symbol.dispose]();
        if (this.#marks.isOpaque(directory.fd)) nothing = "hidden";
      }
      return nothing;
    } finally {
      directory[Symbol.dispose]();
    }
  }
}

function openDirectory(dirfd: number, path: string | Uint8Array): Fd {
  return new Fd(openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

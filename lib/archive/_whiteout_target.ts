// SPDX-License-Identifier: Apache-2.0

/**
 * What whiteouts do, which is all that tells one kind of target from the other: _upper_whiteouts.ts for the upper
 * directory of an overlay, _marker_whiteouts.ts for that of a mount program, _merged_whiteouts.ts for a tree that shows
 * all layers already.
 *
 * A whiteout is about the layers below alone: what its own archive makes stays, whichever of the two comes first.
 *
 * @module
 */

import type { ByteString } from "../util/byte_string.ts";
import type { OpenDirectory } from "./_directories.ts";

/** Carries whiteouts out. */
export interface WhiteoutTarget {
  /** Deletes `leaf` of the layers below. */
  deleteName(parent: OpenDirectory, leaf: ByteString): void;
  /** Deletes everything that `directory` has from the layers below. */
  makeOpaque(directory: OpenDirectory): void;
  /** The archive makes, or names, `leaf`. */
  made(parent: OpenDirectory, leaf: ByteString): void;
  /** A directory was made as `leaf`, by an entry or because one needs it. */
  madeDirectory(parent: OpenDirectory, leaf: ByteString): void;
  /** `leaf` is in the way of a directory that an entry needs: whether it could be removed. */
  clearWay(parent: OpenDirectory, leaf: ByteString): boolean;
}

/** The path of `leaf` without links: the same for all names that a directory has in the archive. */
export function realPath(parent: OpenDirectory, leaf: ByteString): ByteString {
  return parent.path === "" ? leaf : `${parent.path}/${leaf}`;
}

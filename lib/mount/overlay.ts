// SPDX-License-Identifier: Apache-2.0

/**
 * An overlay, before it is mounted.
 *
 * @module
 */

import type { IdMaps } from "../id_map.ts";

/** An overlay as a plain value. */
export interface OverlayMount {
  /** Uppermost first; at least one, or two without an upper directory. */
  lowerDirs: readonly string[];
  /** Where changes go; without it the mount is read-only. */
  upper: UpperDirs | undefined;
  /** Further options, each `key` or `key=value`, as the kernel spells them, without quotes. */
  options: readonly string[];
  /** Files of lower directories, which have the container's ids on disk, are seen with the host's. */
  idMaps?: IdMaps | undefined;
}

/** Where an overlay keeps what is written. */
export interface UpperDirs {
  upperDir: string;
  /** The kernel's own, empty, on the same file system. */
  workDir: string;
}

/** How many lower layers the kernel stacks (OVL_MAX_STACK). */
export const MOST_LOWER_DIRS = 500;

/** What shows the same as `overlay` and lets nobody write. */
export function readOnlyView(overlay: OverlayMount & { upper: UpperDirs }): OverlayMount {
  const { lowerDirs, upper, options } = overlay;
  if (lowerDirs.length < MOST_LOWER_DIRS) {
    return { ...overlay, lowerDirs: [upper.upperDir, ...lowerDirs], upper: undefined };
  }
  // As one lower layer more it would be one too many. Nothing can lie on such a layer, so it is in no other mount.
  return { ...overlay, options: [...options.filter((option) => option !== "rw"), "ro"] };
}

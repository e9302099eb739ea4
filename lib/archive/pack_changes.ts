// SPDX-License-Identifier: Apache-2.0

/**
 * Two trees -> tar: what has to be done to the one to make it the other. The archive has the form that pack.ts gives it.
 *
 * @module
 */

import { ChangedNames } from "./_pack_selection.ts";
import type { DifferenceRules } from "./_differences.ts";
import { type PackOptions, type PackResult, packSelected } from "./pack.ts";

/** How two trees are compared and their difference packed. */
export type PackChangesOptions = Omit<PackOptions, "lowerDirs" | "part"> & {
  /** Also compares the content of files of which nothing else differs. */
  content?: DifferenceRules["content"];
};

/**
 * Writes the changes from the tree `older` to the tree `newer`, open directories, to `archiveFd` as a tar. Without `older`
 * that is all of `newer`.
 *
 * An archive has to hold all that differs: beside what `compare` looks at these are extended attributes (those that go
 * out), times of directories, and which names are links to one file.
 *
 * @throws {StorageError} As `pack`.
 */
export function packChanges(
  newer: number,
  older: number | undefined,
  archiveFd: number,
  options: PackChangesOptions = {},
): PackResult {
  const { content, xattrs = true, control, overlayXattrs, overrideStat } = options;
  return packSelected(newer, archiveFd, options, () =>
    new ChangedNames(newer, older, {
      content,
      xattrs,
      overrideStat,
      ...(control === undefined ? {} : { control }),
      ...(overlayXattrs === undefined ? {} : { overlayXattrs }),
    }));
}

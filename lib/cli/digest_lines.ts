// SPDX-License-Identifier: Apache-2.0

/**
 * How `--digest` is answered.
 *
 * @module
 */

import type { ArchiveDigests } from "../drivers/driver.ts";

/** A line for the plain archive, and one for the archive as it is; none where no digest was asked for. */
export function digestLines({ diffId, archiveDigest }: ArchiveDigests): string[] {
  if (diffId === undefined || archiveDigest === undefined) return [];
  return [`diff-id ${diffId}`, `archive ${archiveDigest}`];
}

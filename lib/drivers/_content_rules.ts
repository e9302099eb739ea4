// SPDX-License-Identifier: Apache-2.0

/**
 * How owners and modes of a layer's files are kept.
 *
 * @module
 */

import type { UnpackResult } from "../archive/unpack.ts";
import type { Logger } from "../log.ts";

/** The rules. */
export interface ContentRules {
  /** The mode of everything on disk, while owners and modes are in an attribute: see override_stat.ts. */
  readonly forceMask: number | undefined;
  /** Whether owners that cannot be set are passed over. */
  readonly ignoreChownErrors: boolean;
}

/** Files have their own owners and modes. */
export const PLAIN: ContentRules = { forceMask: undefined, ignoreChownErrors: false };

/** Tells of owners that could not be set. */
export function warnOfOwners(id: string, { unsetOwners }: UnpackResult, logger: Logger): void {
  if (unsetOwners === 0) return;
  logger.warn(`layer "${id}": ${unsetOwners} files have not got the owner that the archive says, and belong to us`);
}

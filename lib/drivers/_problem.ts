// SPDX-License-Identifier: Apache-2.0

/**
 * What is wrong in a home, before it becomes a finding: with the way to repair it.
 *
 * @module
 */

import type { FindingCode } from "./store_check.ts";

/** Something that is wrong, or worth a note. */
export interface Problem {
  code: FindingCode;
  layer?: string;
  path: string;
  problem: string;
  action: string;
  /**
   * Repairs it, if that can be done, and returns whether it did: false where it is no longer as it was seen. It is called
   * with `layer` locked, if there is one.
   */
  repair?: () => boolean | Promise<boolean>;
  sizeBytes?: number;
}

/** By what two looks find out that they saw the same. */
export function keyOf({ code, path, problem }: Problem): string {
  return JSON.stringify([code, path, problem]);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Options that say in which store layers are to be looked for.
 *
 * @module
 */

import type { GLOBAL_OPTIONS } from "../usage.ts";

/** With their dashes; each has a value. */
export const STORE_OPTIONS: readonly `--${(typeof GLOBAL_OPTIONS)[number]["name"]}`[] = [
  "--root",
  "--run-root",
  "--home",
  "--driver",
  "--socket",
];

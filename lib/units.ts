// SPDX-License-Identifier: Apache-2.0

/**
 * Sizes as people write and read them.
 *
 * @module
 */

import { StorageError } from "./errors.ts";

const SIZE_REGEXP = /^(\d+(?:\.\d+)?)\s?([kmgtp]?)(?:i?b)?$/i;
const POWERS = ["", "k", "m", "g", "t", "p"];

/**
 * Parses a size as Docker does: `10G`, `10GB` and `10GiB` are all 10 × 1024³ bytes; a fraction of a byte is dropped.
 *
 * @throws {StorageError} `invalid_argument`: not a size.
 *
 * @example
 * ```ts
 * import { parseSize } from "lamina";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseSize("1.5k"), 1536);
 * ```
 */
export function parseSize(text: string): number {
  const match = SIZE_REGEXP.exec(text.trim());
  if (match === null) {
    throw new StorageError("invalid_argument", `Cannot read ${JSON.stringify(text)} as a size`, {
      hint: "write a number with an optional unit k, m, g, t or p: 512m, 10G, 1.5GiB",
    });
  }
  const size = Math.trunc(Number(match[1]) * 1024 ** POWERS.indexOf(match[2]!.toLowerCase()));
  if (!Number.isSafeInteger(size)) {
    throw new StorageError("invalid_argument", `Cannot use ${JSON.stringify(text)} as a size: it is over 8 PiB`);
  }
  return size;
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Formats bytes in steps of 1000 with three digits: `366 MB`, `1.10 GB`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const text = unit === 0
    ? String(value)
    : value >= 100
    ? value.toFixed(0)
    : value >= 10
    ? value.toFixed(1)
    : value.toFixed(2);
  return `${text} ${UNITS[unit]}`;
}

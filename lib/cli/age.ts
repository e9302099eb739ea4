// SPDX-License-Identifier: Apache-2.0

/**
 * How long ago something was.
 *
 * @module
 */

const UNITS: readonly (readonly [letter: string, seconds: number])[] = [
  ["y", 365 * 86400],
  ["d", 86400],
  ["h", 3600],
  ["m", 60],
];

/** `5m`, `3h`, `12d`: whole units of the largest kind of which there is one. */
export function formatAge(since: Date, now: Date = new Date()): string {
  // The clock of who made a store may have been ahead of ours.
  const seconds = Math.max(0, Math.floor((now.getTime() - since.getTime()) / 1000));
  const [letter, length] = UNITS.find(([, length]) => seconds >= length) ?? ["s", 1];
  return `${Math.floor(seconds / length)}${letter}`;
}

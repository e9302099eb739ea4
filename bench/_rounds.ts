// SPDX-License-Identifier: Apache-2.0

/**
 * Medians, and ratios within a round.
 *
 * @module
 */

/** Seconds, one figure a contestant. */
export type Round = readonly number[];

/** What is told of several figures. */
export interface Summary {
  median: number;
  fastest: number;
  slowest: number;
}

export function summary(figures: readonly number[]): Summary {
  const sorted = figures.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, fastest: sorted[0]!, slowest: sorted.at(-1)! };
}

/** How many times `reference` each round's figure of `contestant` is. */
export function ratios(rounds: readonly Round[], contestant: number, reference: number): number[] {
  return rounds.map((round) => round[contestant]! / round[reference]!);
}

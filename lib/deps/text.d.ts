// SPDX-License-Identifier: Apache-2.0

/** How many letters have to be put in, taken out or exchanged to make `b` of `a`. */
export function levenshteinDistance(a: string, b: string): number;

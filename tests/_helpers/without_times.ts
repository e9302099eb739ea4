// SPDX-License-Identifier: Apache-2.0

/** Layers, without the times at which they were made: no test can know them beforehand. */
export function withoutTimes<T extends { createdAt?: unknown }>(layers: readonly T[]): Omit<T, "createdAt">[] {
  return layers.map(({ createdAt: _, ...rest }) => rest);
}

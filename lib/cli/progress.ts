// SPDX-License-Identifier: Apache-2.0

/**
 * How far a long operation is, in one line of a terminal.
 *
 * @module
 */

import type { Progress, WorkOptions } from "../drivers/driver.ts";
import { formatSize } from "../units.ts";
import type { Output } from "./output.ts";

/** Runs `work`, which shows its progress if somebody watches, and clears the line at its end. */
export async function withProgress<T>(output: Output, work: (options: WorkOptions) => Promise<T>): Promise<T> {
  if (!output.showsProgress) return await work({});
  const start = performance.now();
  try {
    return await work({
      onProgress: (progress) => output.status(progressLine(progress, (performance.now() - start) / 1000)),
    });
  } finally {
    output.status("");
  }
}

/** `3000 entries, 107 MB, 412 MB/s`. */
export function progressLine({ entries, bytes }: Progress, seconds: number): string {
  const rate = seconds > 0 ? `, ${formatSize(Math.round(bytes / seconds))}/s` : "";
  return `${entries} entries, ${formatSize(bytes)}${rate}`;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What is in a diff, in a few lines.
 *
 * @module
 */

import type { Change } from "../drivers/driver.ts";
import { formatSize } from "../units.ts";
import { alignColumns } from "./aligned_columns.ts";

/** How many paths there are of each kind. */
export interface SummaryCounts {
  paths: number;
  files: number;
  directories: number;
  symlinks: number;
  /** Devices, pipes and sockets. */
  others: number;
  /** Of files and links, hard links once. */
  sizeBytes: number;
}

/** What is in a diff. */
export interface DiffSummary {
  added: SummaryCounts;
  changed: SummaryCounts;
  /** What was there is not looked at: what a directory held goes with it. */
  deleted: { paths: number };
  /** The largest ten files. */
  largest: { path: string; kind: "add" | "modify"; sizeBytes: number }[];
}

const MOST_PATHS = 10;

/** Sums up changes with details. */
export function summaryOf(changes: readonly Change[]): DiffSummary {
  const summary: DiffSummary = { added: noCounts(), changed: noCounts(), deleted: { paths: 0 }, largest: [] };
  for (const { path, kind, type, sizeBytes = 0 } of changes) {
    if (kind === "delete") {
      summary.deleted.paths++;
      continue;
    }
    const counts = kind === "add" ? summary.added : summary.changed;
    counts.paths++;
    counts.sizeBytes += sizeBytes;
    if (type === "file") counts.files++;
    else if (type === "directory") counts.directories++;
    else if (type === "symlink") counts.symlinks++;
    else if (type !== undefined) counts.others++;
    if (sizeBytes > 0) summary.largest.push({ path, kind, sizeBytes });
  }
  summary.largest.sort((a, b) => b.sizeBytes - a.sizeBytes);
  summary.largest.length = Math.min(summary.largest.length, MOST_PATHS);
  return summary;
}

function noCounts(): SummaryCounts {
  return { paths: 0, files: 0, directories: 0, symlinks: 0, others: 0, sizeBytes: 0 };
}

/** The lines for people. */
export function summaryLines({ added, changed, deleted, largest }: DiffSummary): string[] {
  const figures = ({ paths, files, directories, symlinks, others, sizeBytes }: SummaryCounts): string[] => [
    ...[paths, files, directories, symlinks, others].map(String),
    formatSize(sizeBytes),
  ];
  const rows = alignColumns([
    ["", "PATHS", "FILES", "DIRECTORIES", "LINKS", "OTHERS", "SIZE"],
    ["added", ...figures(added)],
    ["changed", ...figures(changed)],
    ["deleted", String(deleted.paths), "-", "-", "-", "-", "-"],
  ]);
  const sizes = alignColumns(largest.map(({ sizeBytes }) => [formatSize(sizeBytes)]));
  const paths = largest.map(({ path, kind }, i) => `${sizes[i]}${kind === "add" ? "A" : "C"} ${path}`);
  return [...rows.map((row) => row.trimEnd()), ...(paths.length === 0 ? [] : ["", "The largest:", ...paths])];
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Figures below each other.
 *
 * @module
 */

/** Each row as text that another column can follow: all cells of a column end below each other. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => `${cell.padStart(widths[column]!)}  `).join(""));
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What a fault is, and the table that a run of them makes.
 *
 * @module
 */

import type { Requirement } from "../_helpers/requires.ts";

/** How long a fault is tried. */
export interface Budget {
  /** `short` is what every test run does. */
  form: "short" | "long";
  /** Of the long form; the fault goes on until then. */
  seconds: number;
  /** Where random choices begin. */
  seed: number;
  /** Told what happens meanwhile. */
  onProgress: (text: string) => void;
}

/** What came of it. */
export interface Tally {
  /** How often the fault happened. */
  tried: number;
  /** What was lost, one line a piece, with how to do it again where that is known. */
  lost: string[];
  /** What else is worth knowing, in few words. */
  note: string;
}

/** Something that happens to a store. */
export interface Fault {
  /** What `--faults` takes. */
  name: string;
  /** What holds whenever it happens: the name of its test. */
  promise: string;
  needs: readonly Requirement[];
  run(budget: Budget): Promise<Tally>;
}

/** One row of the table. */
export interface Row {
  fault: Fault;
  tally: Tally | { skipped: string };
  seconds: number;
}

/** The table, as Markdown. */
export function tableOf(rows: readonly Row[]): string {
  const cells = rows.map(({ fault, tally, seconds }) => {
    if ("skipped" in tally) return [fault.promise, "0", "", "", "", `skipped: ${tally.skipped}`];
    // One time may lose several things.
    const survived = Math.max(0, tally.tried - tally.lost.length);
    const numbers = [tally.tried, survived, tally.lost.length, seconds.toFixed(0)];
    return [fault.promise, ...numbers.map((number) => Number(number).toLocaleString("en-US")), tally.note];
  });
  const all = [["fault, and what holds", "tried", "survived", "lost", "seconds", "notes"], ...cells];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const line = (row: string[]): string => `| ${row.map((cell, i) => pad(cell, widths[i]!, i)).join(" | ")} |`;
  const rule = `| ${
    widths.map((width, i) => isNumber(i) ? `${"-".repeat(width - 1)}:` : "-".repeat(width)).join(" | ")
  } |`;
  return [line(all[0]!), rule, ...all.slice(1).map(line)].join("\n");
}

function isNumber(column: number): boolean {
  return column >= 1 && column <= 4;
}

function pad(cell: string, width: number, column: number): string {
  return isNumber(column) ? cell.padStart(width) : cell.padEnd(width);
}

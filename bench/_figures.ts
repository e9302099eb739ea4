// SPDX-License-Identifier: Apache-2.0

/**
 * Figures as Markdown, and where they stand in bench/README.md.
 *
 * @module
 */

import { runCommand } from "./_command.ts";
import type { Contestant } from "./_contestants.ts";
import { formatSeconds } from "./_report.ts";
import { ratios, type Round, summary } from "./_rounds.ts";
import type { CallCounts } from "./_system_calls.ts";

/** One data set's share of a table. */
export interface Column {
  set: string;
  rounds: readonly Round[];
}

function tableOf(rows: readonly (readonly string[])[]): string {
  const [head, ...body] = rows.map((cells) => `| ${cells.join(" | ")} |`);
  return [head, `| --- |${" ---: |".repeat(rows[0]!.length - 1)}`, ...body].join("\n");
}

/** Times of the first contestant, and seconds: medians over the rounds, the ratio taken within each. */
export function timesTable(
  title: string,
  contestants: readonly Pick<Contestant, "name" | "clock">[],
  columns: readonly Column[],
): string {
  const head = [`${title}, times ${contestants[0]!.name}`, ...columns.map(({ set }) => set)];
  const rows = contestants.map(({ name, clock }, i) => [
    clock === "process" ? `${name} *` : name,
    ...columns.map(({ rounds }) => {
      const seconds = summary(rounds.map((round) => round[i]!));
      return `**${summary(ratios(rounds, i, 0)).median.toFixed(2)}** ${formatSeconds(seconds.median)}`;
    }),
  ]);
  return tableOf([head, ...rows]);
}

/** How many times as fast as each other contestant the one of the name `pattern` is. */
export function speedTable(
  title: string,
  pattern: RegExp,
  contestants: readonly Contestant[],
  columns: readonly Column[],
): string | undefined {
  const self = contestants.findIndex(({ name }) => pattern.test(name));
  const others = contestants.flatMap((contestant, i) => contestant.name.includes("lamina") ? [] : [i]).slice(1);
  if (self === -1 || others.length === 0) return undefined;
  const head = [`${title}: ${contestants[self]!.name} is this many times as fast as`, ...columns.map(({ set }) => set)];
  return tableOf([
    head,
    ...others.map((other) => [
      contestants[other]!.name,
      ...columns.map(({ rounds }) => summary(ratios(rounds, other, self)).median.toFixed(2)),
    ]),
  ]);
}

/** Calls that are made for less than every hundredth entry are left out. */
const FEWEST_PER_ENTRY = 0.01;

/** One row a system call, one column a contestant. */
export function callsTable(title: string, counts: readonly { name: string; calls: CallCounts }[]): string {
  const total = (name: string): number => counts.reduce((sum, { calls }) => sum + (calls.get(name) ?? 0), 0);
  const names = [...new Set(counts.flatMap(({ calls }) => [...calls.keys()]))]
    .filter((name) => counts.some(({ calls }) => (calls.get(name) ?? 0) >= FEWEST_PER_ENTRY))
    .sort((a, b) => total(b) - total(a));
  return tableOf([
    [title, ...counts.map(({ name }) => name)],
    ...names.map((name) => [name, ...counts.map(({ calls }) => (calls.get(name) ?? 0).toFixed(2))]),
  ]);
}

/** A task that writes its figures. */
export type FiguresTask = "bench:start" | "bench:engine" | "bench:agent";

const END = "<!-- end of figures -->";

/**
 * The Markdown file `path`, before and after the figures of `task`.
 *
 * @throws {Error} It has no marks for them.
 */
export async function aroundFigures(
  path: string,
  task: FiguresTask,
): Promise<readonly [before: string, after: string]> {
  const text = await Deno.readTextFile(path);
  const mark = `<!-- figures: written by deno task ${task} -->`;
  const begin = text.indexOf(mark);
  const end = text.indexOf(END, begin);
  if (begin === -1 || end === -1) throw new Error(`${path} has no place for figures: "${mark}" and "${END}"`);
  return [text.slice(0, begin + mark.length), text.slice(end)];
}

/** Puts `figures` between the marks of the Markdown file `path`; `-` is no file, and nothing happens. */
export async function replaceFigures(path: string, task: FiguresTask, figures: string): Promise<void> {
  if (path === "-") return;
  const [before, after] = await aroundFigures(path, task);
  await Deno.writeTextFile(path, `${before}\n\n${figures}\n\n${after}`);
  await runCommand(Deno.execPath(), ["fmt", "--quiet", path]);
}

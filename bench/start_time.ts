// SPDX-License-Identifier: Apache-2.0

/**
 * `deno task bench:start`: how long short commands of the compiled program take, beside a compiled program that opens the C
 * library and ends. Compiles both; the figures go to bench/README.md. Needs root, for the mount.
 *
 *     --rounds N       default 30
 *     --table FILE     Markdown file that gets the figures; "-" for none (default bench/README.md)
 *
 * @module
 */

import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { formatSize } from "../lib/units.ts";
import { runCommand, type Words } from "./_command.ts";
import { aroundFigures, replaceFigures, timesTable } from "./_figures.ts";
import { aboutMachine } from "./_machine.ts";
import { runProgram } from "./_program.ts";
import { EXIT, Refusal, refuseUnfitUsers } from "./_refusal.ts";
import { Report } from "./_report.ts";
import type { Round } from "./_rounds.ts";
import { Workspace } from "./_workspace.ts";

const TASK = "bench:start";
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const README = here("./README.md");
const LAMINA = here("../build/lamina");
const NEEDED_BYTES = 500e6;
/** Runs that nobody counts: the programs come into the page cache. */
const WARM_UP_ROUNDS = 3;

/** One program with its arguments. */
interface Starter {
  name: string;
  clock: "process";
  run: Words;
  /** Undoes what it did, after its time. */
  undo?: Words;
}

interface Options {
  rounds: number;
  table: string;
}

function parseOptions(args: string[]): Options {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ args, options: { rounds: text, table: text } });
  const rounds = Number(values.rounds ?? 30);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Refusal(EXIT.usage, `--rounds ${values.rounds} is no number`);
  return { rounds, table: values.table ?? README };
}

/** Compiles `entry` as lamina is compiled. */
async function compile(entry: string, output: string, signal: AbortSignal): Promise<void> {
  await runCommand("env", [`ENTRY=${entry}`, `OUTPUT=${output}`, here("./compile.sh")], { signal });
}

/** Short commands on a store in `directory`. */
async function makeStarters(directory: string, empty: string): Promise<Starter[]> {
  const lamina = (...args: string[]): Words => [
    LAMINA,
    ...["--root", `${directory}/root`, "--run-root", `${directory}/run`],
    ...args,
  ];
  for (const args of [["base"], ["web", "--parent", "base", "--read-write"]]) {
    const [program, ...words] = lamina("create", ...args);
    await runCommand(program, words);
  }
  const starter = (...args: string[]): Starter => ({
    name: `lamina ${args.join(" ")}`,
    clock: "process",
    run: lamina(...args),
  });
  return [
    { name: "an empty program that opens libc", clock: "process", run: [empty] },
    starter("--help"),
    starter("version"),
    starter("exists", "web"),
    starter("ls"),
    { ...starter("mount", "web"), undo: lamina("unmount", "web") },
  ];
}

async function secondsOf([program, ...args]: Words, signal: AbortSignal): Promise<number> {
  const start = performance.now();
  await runCommand(program, args, { signal });
  return (performance.now() - start) / 1000;
}

/** Every program once, in an order that moves by one from round to round. */
async function runRound(starters: readonly Starter[], round: number, signal: AbortSignal): Promise<Round> {
  const seconds: number[] = [];
  for (let i = 0; i < starters.length; i++) {
    const at = (i + round) % starters.length;
    const { run, undo } = starters[at]!;
    seconds[at] = await secondsOf(run, signal);
    if (undo !== undefined) await secondsOf(undo, signal);
  }
  return seconds;
}

async function run(args: string[], signal: AbortSignal): Promise<void> {
  const options = parseOptions(args);
  refuseUnfitUsers(TASK);
  if (options.table !== "-") await aroundFigures(options.table, TASK);
  const report = new Report(signal);
  await using workspace = await Workspace.make({ prefix: "lamina-bench-", neededBytes: NEEDED_BYTES, signal });
  const empty = `${workspace.path}/empty`;
  await compile("cli.ts", LAMINA, signal);
  await compile("bench/_empty_program.ts", empty, signal);
  const starters = await makeStarters(workspace.root, empty);

  const rounds: Round[] = [];
  for (let round = -WARM_UP_ROUNDS; round < options.rounds; round++) {
    const seconds = await runRound(starters, round + WARM_UP_ROUNDS, signal);
    if (round >= 0) rounds.push(seconds);
  }
  const [ours, least] = [(await Deno.stat(LAMINA)).size, (await Deno.stat(empty)).size];
  const { deno } = JSON.parse(await runCommand(LAMINA, ["version", "--json"])) as { deno: string };
  const text = [
    `${await aboutMachine()}, compiled by Deno ${deno}, ${options.rounds} rounds.`,
    timesTable("start to end", starters, [{ set: "compiled", rounds }]),
    `The executable has ${formatSize(ours)}, of which ${formatSize(least)} are Deno's runtime and the empty program.`,
  ].join("\n\n");
  report.line(text);
  await replaceFigures(options.table, TASK, text);
}

if (import.meta.main) Deno.exit(await runProgram(TASK, (signal) => run(Deno.args, signal)));

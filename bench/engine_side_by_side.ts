// SPDX-License-Identifier: Apache-2.0

/**
 * `deno task bench:engine`: apply, diff, diffSize and changes beside the programs that do the same, in one run; the figures go to
 * bench/README.md, which says what they mean. Needs root, and about 10 GB of memory for the largest layer.
 *
 *     --peers-dir DIR   where the peers and the data are (default: PEERS_DIR); without, lamina and GNU tar alone
 *     --rounds N        default 7
 *     --sets A,B --ops A,B --only REGEXP    sets of data, jobs, contestants beside the first of each job
 *     --table FILE      Markdown file that gets the figures; "-" for none (default bench/README.md)
 *
 * @module
 */

import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { runCommand } from "./_command.ts";
import type { Contestant, Place } from "./_contestants.ts";
import { aroundFigures, callsTable, type Column, replaceFigures, speedTable, timesTable } from "./_figures.ts";
import { makeHostRootfs } from "./_host_rootfs.ts";
import { type Job, JOBS } from "./_jobs.ts";
import { LoopImage } from "./_loop_image.ts";
import { aboutMachine } from "./_machine.ts";
import { mountMemory, touchMemory } from "./_memory.ts";
import { findPeers, type Peers } from "./_peers.ts";
import { prepareStore } from "./_prepared_store.ts";
import { runRace } from "./_race.ts";
import { runProgram } from "./_program.ts";
import { EXIT, Refusal, refuseUnfitUsers } from "./_refusal.ts";
import { formatSeconds, Report } from "./_report.ts";
import { ratios, summary } from "./_rounds.ts";
import { type CallCounts, callsPerEntry, countCalls } from "./_system_calls.ts";
import { Workspace } from "./_workspace.ts";

const TASK = "bench:engine";
const README = fileURLToPath(new URL("./README.md", import.meta.url));
const SETS = ["small", "mixed", "big"];
const IMAGE_BYTES = 8e9;
const HOST_ROOTFS_BYTES = 250e6;
/** One large layer in four stores, in the image and in the page cache. */
const MEMORY_BYTES = 10e9;

interface Options {
  peersDir: string | undefined;
  rounds: number;
  sets: readonly string[];
  jobs: readonly Job[];
  only: RegExp;
  table: string;
}

function parseOptions(args: string[]): Options {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args,
    options: { "peers-dir": text, rounds: text, sets: text, ops: text, only: text, table: text },
  });
  const rounds = Number(values.rounds ?? 7);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Refusal(EXIT.usage, `--rounds ${values.rounds} is no number`);
  const jobNames = JOBS.map(({ name }) => name);
  const chosen = values.ops?.split(",") ?? jobNames;
  const unknown = chosen.find((name) => !jobNames.includes(name));
  if (unknown !== undefined) {
    throw new Refusal(EXIT.usage, `--ops knows no "${unknown}"; there are ${jobNames.join(", ")}`);
  }
  return {
    peersDir: values["peers-dir"] ?? Deno.env.get("PEERS_DIR"),
    rounds,
    sets: values.sets?.split(",") ?? SETS,
    jobs: JOBS.filter(({ name }) => chosen.includes(name)),
    only: new RegExp(values.only ?? ""),
    table: values.table ?? README,
  };
}

/** What all parts of a run share. */
interface Bench {
  options: Options;
  peers: Peers;
  /** Paths of archives by the name of their set. */
  archives: ReadonlyMap<string, string>;
  memory: string;
  report: Report;
  signal: AbortSignal;
}

function chosenContestants({ options, peers }: Bench, job: Job): Contestant[] {
  return job.contestants(peers).filter(({ name }, i) => i === 0 || options.only.test(name));
}

async function runJob(bench: Bench, job: Job): Promise<string> {
  const { options: { rounds }, memory, report, signal } = bench;
  const contestants = chosenContestants(bench, job);
  const columns: Column[] = [];
  const sets = job.emptyLayers === undefined ? bench.archives : new Map([[job.emptyLayers, ""]]);
  for (const [set, archive] of sets) {
    if (job.sets?.includes(set) === false) continue;
    const start = performance.now();
    const input = job.compression === undefined ? archive : await compress(archive, job.compression, memory);
    columns.push({ set, rounds: await runRace({ job, contestants, archive: input, rounds, memory, signal }) });
    report.line(`\n${job.title}, ${set}: ${rounds} rounds in ${formatSeconds((performance.now() - start) / 1000)}`);
    reportSamples(report, contestants, columns.at(-1)!);
  }
  if (columns.length === 0) return "";
  const tables = [
    timesTable(job.title, contestants, columns),
    speedTable(job.title, COMPARED_REGEXP, contestants, columns),
  ];
  return tables.filter((table) => table !== undefined).join("\n\n");
}

function reportSamples(report: Report, contestants: readonly Contestant[], { rounds }: Column): void {
  contestants.forEach(({ name }, i) => {
    const { median, fastest, slowest } = summary(rounds.map((round) => round[i]!));
    const range = `${formatSeconds(fastest)}..${formatSeconds(slowest)}`;
    const ratio = summary(ratios(rounds, i, 0)).median.toFixed(2);
    report.line(`  ${name.padEnd(36)}${formatSeconds(median).padStart(10)}${range.padStart(22)}${ratio.padStart(8)}`);
  });
}

/** The archive compressed at the program's usual level; made once. */
async function compress(archive: string, program: "gzip" | "zstd", directory: string): Promise<string> {
  const path = `${directory}/${archive.slice(archive.lastIndexOf("/") + 1)}.${program}`;
  try {
    await Deno.stat(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await runCommand("sh", ["-c", `${program} -c "$1" >"$2"`, "sh", archive, path]);
  }
  return path;
}

/** Whose speed is told as a multiple of the others'. */
const COMPARED_REGEXP = /^lamina's (?:engine, cold|overlay2, warm)$/;

/** Who shows in the tables of system calls: the processes that do nothing but the job. */
const COUNTED_REGEXP = /^(C floor|GNU tar|lamina's engine, cold)/;

async function runCalls(bench: Bench, name: "apply" | "diff"): Promise<string> {
  const job = JOBS.find((candidate) => candidate.name === name)!;
  const [set, archive] = bench.archives.entries().next().value!;
  const empty = `${bench.memory}/empty.tar`;
  await Deno.writeFile(empty, new Uint8Array(10240));
  const counts: { name: string; calls: CallCounts }[] = [];
  for (const contestant of chosenContestants(bench, job).filter((each) => COUNTED_REGEXP.test(each.name))) {
    // The empty one first: Deno writes its cache of compiled code in a first run.
    const idle = await callsOn(bench, contestant, empty);
    const { entries, calls } = await callsOn(bench, contestant, archive);
    counts.push({ name: contestant.name, calls: callsPerEntry(calls, idle.calls, entries) });
  }
  return callsTable(`system calls per entry, ${job.title}, ${set}`, counts);
}

async function callsOn(
  { memory, signal }: Bench,
  contestant: Contestant,
  archive: string,
): Promise<{ entries: number; calls: CallCounts }> {
  await using image = await LoopImage.make(memory, "sample", IMAGE_BYTES, signal);
  const { tree, amount } = await prepareStore(image.path, archive);
  const place: Place = { directory: image.path, archive, tree, delta: undefined, output: "/dev/null", scratch: memory };
  return { entries: amount.entries, calls: await countCalls(contestant, place, signal) };
}

async function findArchives(
  { sets }: Options,
  { data }: Peers,
  root: string,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const archives = data === undefined
    ? new Map([["host", (await makeHostRootfs(root, signal)).path]])
    : new Map(sets.map((set) => [set, `${data}/${set}.tar`]));
  // Read once, so that it is in the page cache for the first contestant as well.
  for (const path of archives.values()) await (await Deno.open(path)).readable.pipeTo(new WritableStream());
  return archives;
}

/** The largest layer in four stores, in the image and in the page cache; half of what is free at most. */
function memoryFor(archives: ReadonlyMap<string, string>): number {
  const largest = Math.max(...[...archives.values()].map((path) => Deno.statSync(path).size));
  return Math.min(8 * largest, Math.floor(Deno.systemMemoryInfo().available / 2));
}

async function run(args: string[], signal: AbortSignal): Promise<void> {
  const options = parseOptions(args);
  refuseUnfitUsers("bench:engine");
  // Better now than after twenty minutes.
  if (options.table !== "-") await aroundFigures(options.table, TASK);
  const report = new Report(signal);
  const notes: string[] = [];
  const peers = await findPeers(options.peersDir, (line) => notes.push(line));
  if (peers.data !== undefined && Deno.systemMemoryInfo().available < MEMORY_BYTES) {
    throw new Refusal(EXIT.noSpace, "layers are kept in memory: this takes 10 GB that are free");
  }
  for (const line of notes) report.line(line);
  await using workspace = await Workspace.make({ prefix: "lamina-bench-", neededBytes: HOST_ROOTFS_BYTES, signal });
  const memory = `${workspace.path}/memory`;
  await using _memory = await mountMemory(memory);
  const archives = await findArchives(options, peers, workspace.root, signal);
  await touchMemory(memory, memoryFor(archives), signal);
  const bench: Bench = { options, peers, archives, memory, report, signal };
  const about = [`${await aboutMachine()}, ${options.rounds} rounds.`, ...notes];
  const figures = [about.join("\n")];
  for (const job of options.jobs) figures.push(await runJob(bench, job));
  for (const name of ["apply", "diff"] as const) {
    if (options.jobs.some((job) => job.name === name)) figures.push(await runCalls(bench, name));
  }
  const text = figures.filter((part) => part !== "").join("\n\n");
  report.line(`\n${text}`);
  await replaceFigures(options.table, TASK, text);
}

if (import.meta.main) Deno.exit(await runProgram(TASK, (signal) => run(Deno.args, signal)));

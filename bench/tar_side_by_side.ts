// SPDX-License-Identifier: Apache-2.0

/**
 * `deno task bench [ROOTFS.tar]`: apply and diff of a root file system beside GNU tar, in one run. Needs root.
 *
 * What makes the figures honest: each sample that creates files gets an ext4 of its own, made for it in memory (on one
 * where files were removed before, the allocator's search drowns every difference); every round runs every contestant
 * once, in rotating order, after a sync; no sample is dropped; a ratio is taken within its round, and the median told.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { AT_FDCWD, Fd, O_CREAT, O_EXCL, O_WRONLY, openat } from "../ffi/file.ts";
import { formatSize } from "../lib/units.ts";
import { openForReading } from "../lib/util/open_file.ts";
import { openDriver, type OpenOptions, type Progress } from "../mod.ts";
import { runCommand } from "./_command.ts";
import { compareTrees } from "./_compare_trees.ts";
import { makeHostRootfs } from "./_host_rootfs.ts";
import { LoopImage } from "./_loop_image.ts";
import { mountMemory } from "./_memory.ts";
import { prepareStore, storeIn } from "./_prepared_store.ts";
import { runProgram } from "./_program.ts";
import { EXIT, Refusal, refuseUnfitUsers } from "./_refusal.ts";
import { formatAmount, formatCount, Report } from "./_report.ts";
import { ratios, type Round, summary } from "./_rounds.ts";
import { Workspace } from "./_workspace.ts";

const ROUNDS = 7;
const IMAGE_BYTES = 4e9;
const CLI = fileURLToPath(new URL("../cli.ts", import.meta.url));
const BINARY = fileURLToPath(new URL("../build/lamina", import.meta.url));

/** One way to do a job; `run` is the part that is timed. */
interface Contestant {
  name: string;
  /** What goes before the clock runs; `directory` is where files are made. */
  prepare(directory: string): Promise<Sample>;
}

interface Sample extends AsyncDisposable {
  run(): Promise<unknown>;
}

/** A job, with GNU tar as the first of its contestants. */
interface Contest {
  title: string;
  contestants: readonly Contestant[];
  amount: Progress;
}

function sample(run: () => Promise<unknown>, dispose: () => Promise<void> = async () => {}): Sample {
  return { run, [Symbol.asyncDispose]: dispose };
}

const TAR_XATTRS = ["--xattrs", "--xattrs-include=*", "--numeric-owner"];

function applyByTar(rootfs: string): Contestant {
  return {
    name: "GNU tar -x",
    prepare: async (directory): Promise<Sample> => {
      await Deno.mkdir(`${directory}/tree`);
      const args = ["-xpf", rootfs, "-C", `${directory}/tree`, "--same-owner", ...TAR_XATTRS];
      return sample(() => runCommand("tar", args));
    },
  };
}

function applyByLibrary(name: string, rootfs: string, work: NonNullable<OpenOptions["work"]>): Contestant {
  return {
    name,
    prepare: async (directory): Promise<Sample> => {
      const driver = await openDriver({ ...storeIn(directory), work });
      await driver.create("base");
      const archive = openForReading(rootfs);
      return sample(() => driver.applyDiff("base", { fd: archive.fd }), async () => {
        archive[Symbol.dispose]();
        await driver[Symbol.asyncDispose]();
      });
    },
  };
}

/** The words before a lamina command line: the sources, and the compiled program if it was built. */
async function laminaPrograms(): Promise<{ name: string; words: readonly [string, ...string[]] }[]> {
  const sources = { name: "deno run cli.ts", words: [Deno.execPath(), "run", "--allow-all", CLI] as const };
  const isBuilt = await Deno.stat(BINARY).then(() => true, () => false);
  return isBuilt ? [sources, { name: "build/lamina", words: [BINARY] as const }] : [sources];
}

function laminaArgs(directory: string, ...command: string[]): string[] {
  const { root, runRoot } = storeIn(directory);
  return ["--root", root, "--run-root", runRoot, ...command];
}

async function applyContest(rootfs: string, amount: Progress): Promise<Contest> {
  const programs = (await laminaPrograms()).map(({ name, words: [program, ...words] }): Contestant => ({
    name: `${name} apply`,
    prepare: (directory) =>
      Promise.resolve(
        sample(() => runCommand(program, [...words, ...laminaArgs(directory, "apply", "base", rootfs)])),
      ),
  }));
  return {
    title: "apply: archive -> just-made ext4",
    amount,
    contestants: [
      applyByTar(rootfs),
      applyByLibrary("library, in place, warm", rootfs, "in-place"),
      applyByLibrary("library, in a new Worker", rootfs, "worker"),
      ...programs,
    ],
  };
}

/** All archive the same directory: the layer's own, as `apply` left it. */
async function diffContest(store: string, tree: string, output: string, amount: Progress): Promise<Contest> {
  const programs = (await laminaPrograms()).map(({ name, words: [program, ...words] }): Contestant => ({
    name: `${name} diff`,
    prepare: () =>
      Promise.resolve(
        sample(() => runCommand(program, [...words, ...laminaArgs(store, "diff", "base", "-o", output)])),
      ),
  }));
  const tarArgs = ["-cf", output, "--format=pax", ...TAR_XATTRS, "-C", tree, "."];
  return {
    title: "diff: tree -> archive in memory",
    amount,
    contestants: [
      { name: "GNU tar -c", prepare: () => Promise.resolve(sample(() => runCommand("tar", tarArgs))) },
      diffByLibrary("library, in place, warm", store, output, "in-place"),
      diffByLibrary("library, in a new Worker", store, output, "worker"),
      ...programs,
    ],
  };
}

function diffByLibrary(
  name: string,
  store: string,
  output: string,
  work: NonNullable<OpenOptions["work"]>,
): Contestant {
  return {
    name,
    prepare: async (): Promise<Sample> => {
      const driver = await openDriver({ ...storeIn(store), work });
      const archive = new Fd(openat(AT_FDCWD, output, O_WRONLY | O_CREAT | O_EXCL, 0o600));
      return sample(() => driver.diffTo("base", { fd: archive.fd }), async () => {
        archive[Symbol.dispose]();
        await driver[Symbol.asyncDispose]();
      });
    },
  };
}

/** Seconds of each contestant in one round, which begins with another one each time. */
async function runRound(
  contestants: readonly Contestant[],
  round: number,
  takeSample: (contestant: Contestant) => Promise<number>,
): Promise<Round> {
  const seconds: number[] = [];
  for (let i = 0; i < contestants.length; i++) {
    const index = (i + round) % contestants.length;
    seconds[index] = await takeSample(contestants[index]!);
  }
  return seconds;
}

async function timed(contestant: Contestant, directory: string): Promise<number> {
  await using prepared = await contestant.prepare(directory);
  await runCommand("sync", []);
  const start = performance.now();
  await prepared.run();
  return (performance.now() - start) / 1000;
}

async function onFreshImage(memory: string, contestant: Contestant, signal: AbortSignal): Promise<number> {
  await using image = await LoopImage.make(memory, "sample", IMAGE_BYTES, signal);
  return await timed(contestant, image.path);
}

const COLUMNS = [28, 11, 19, 13, 11, 9] as const;

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => i === 0 ? cell.padEnd(COLUMNS[i]!) : cell.padStart(COLUMNS[i]!)).join("");
}

async function hold(
  { title, contestants, amount }: Contest,
  report: Report,
  takeSample: (contestant: Contestant) => Promise<number>,
): Promise<void> {
  const rounds: Round[] = [];
  for (let round = 0; round < ROUNDS; round++) rounds.push(await runRound(contestants, round, takeSample));
  report.line();
  report.line(row([title, "median", "fastest..slowest", "entries/s", "MB/s", "x tar"]));
  contestants.forEach(({ name }, i) => {
    const { median, fastest, slowest } = summary(rounds.map((round) => round[i]!));
    const milliseconds = (seconds: number): string => (seconds * 1000).toFixed(0);
    report.line(row([
      `  ${name}`,
      `${milliseconds(median)} ms`,
      `${milliseconds(fastest)}..${milliseconds(slowest)} ms`,
      formatCount(amount.entries / median),
      formatCount(amount.bytes / median / 1e6),
      summary(ratios(rounds, i, 0)).median.toFixed(2),
    ]));
  });
}

async function contend(rootfs: string, memory: string, report: Report, signal: AbortSignal): Promise<void> {
  await using image = await LoopImage.make(memory, "store", IMAGE_BYTES, signal);
  const prepared = await prepareStore(image.path, rootfs);
  report.line(`${formatAmount(prepared.amount)} in ${rootfs}; ${ROUNDS} rounds each`);
  await hold(
    await applyContest(rootfs, prepared.amount),
    report,
    (contestant) => onFreshImage(memory, contestant, signal),
  );
  const output = `${memory}/diff.tar`;
  await hold(await diffContest(image.path, prepared.tree, output, prepared.amount), report, async (contestant) => {
    signal.throwIfAborted();
    const seconds = await timed(contestant, memory);
    // Emptying the last one's file would be part of the next one's time.
    await Deno.remove(output);
    return seconds;
  });
  await requireSameAsTar(rootfs, prepared.tree, memory, report, signal);
}

/** A fast program that does half of the work would win every contest. */
async function requireSameAsTar(
  rootfs: string,
  tree: string,
  memory: string,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  await using image = await LoopImage.make(memory, "sample", IMAGE_BYTES, signal);
  {
    await using extraction = await applyByTar(rootfs).prepare(image.path);
    await extraction.run();
  }
  const { entries, differences } = await compareTrees(`${image.path}/tree`, tree, { signal });
  // The archive need not have an entry for the root: then it is as whoever made it left it.
  const real = differences.filter(({ path }) => path !== "/");
  report.line();
  report.line(`tar's tree and lamina's: ${formatCount(entries)} entries compared, ${real.length} differences`);
  for (const { path, what, left, right } of real.slice(0, 20)) {
    report.line(`  ${JSON.stringify(path)} ${what}: ${left} | ${right}`);
  }
}

const MEMORY_BYTES = 1.5e9;
const HOST_ROOTFS_BYTES = 250e6;

function refuseLittleMemory(): void {
  const { available } = Deno.systemMemoryInfo();
  if (available >= MEMORY_BYTES) return;
  const amounts = `${formatSize(MEMORY_BYTES)} of memory, and ${formatSize(available)} are free`;
  throw new Refusal(EXIT.noSpace, `samples are taken in memory: this takes ${amounts}`);
}

async function run([argument]: readonly string[], signal: AbortSignal): Promise<void> {
  refuseUnfitUsers("bench");
  refuseLittleMemory();
  const report = new Report(signal);
  report.line(`lamina bench on ${Deno.osRelease()}, Deno ${Deno.version.deno}`);
  await using workspace = await Workspace.make({ prefix: "lamina-bench-", neededBytes: HOST_ROOTFS_BYTES, signal });
  await using _memory = await mountMemory(`${workspace.path}/memory`);
  const memory = `${workspace.path}/memory`;
  const rootfs = argument ?? (await makeHostRootfs(workspace.root, signal)).path;
  // Read once, so that it is in the page cache for the first contestant as well.
  await (await Deno.open(rootfs)).readable.pipeTo(new WritableStream());
  await contend(rootfs, memory, report, signal);
}

if (import.meta.main) Deno.exit(await runProgram("bench", (signal) => run(Deno.args, signal)));

// SPDX-License-Identifier: Apache-2.0

/**
 * `deno task demo [ROOTFS.tar[.gz|.zst]]`: the main job, from end to end on a real root file system, as root or as an
 * ordinary user with subordinate ids.
 *
 * A root file system becomes a layer. A container's layer on top of it is mounted and changed. What changed is taken out
 * as a diff and applied to a second layer. Then both are mounted, and every file of the two trees is compared.
 *
 * @module
 */

import { isOrdinaryUser } from "../lib/cli/rootless/ordinary_user.ts";
import { programItself, runInside } from "../lib/cli/rootless/run_inside.ts";
import { SILENT } from "../lib/log.ts";
import { formatSize } from "../lib/units.ts";
import { openForReading, OutputFile } from "../lib/util/open_file.ts";
import { type Change, type GraphDriver, openDriver } from "../mod.ts";
import { changeTree } from "./_change_tree.ts";
import { compareTrees, type Comparison } from "./_compare_trees.ts";
import { makeHostRootfs } from "./_host_rootfs.ts";
import { Interruption } from "./_interruption.ts";
import { EXIT, explain, Refusal, refuseUnfitUsers } from "./_refusal.ts";
import { formatAmount, formatCount, formatThroughput, Report } from "./_report.ts";
import { findRemains, Workspace } from "./_workspace.ts";

/** Where the story takes place. */
interface Stage {
  workspace: Workspace;
  report: Report;
  signal: AbortSignal;
}

async function tellStory(rootfs: string, stage: Stage): Promise<Comparison> {
  const { workspace, report } = stage;
  await using driver = await openDriver({ root: workspace.join("store"), runRoot: workspace.join("run") });
  await applyRootfs(driver, rootfs, stage);
  await exportBase(driver, stage);

  await report.step(`put a read-write layer "original" on it`, () => driver.createReadWrite("original", ON_BASE));
  const original = await report.step("mount it", () => driver.get("original"), ({ path }) => path);
  const changes = await report.step(
    "change files through the mount",
    () => changeTree(original.path),
    countOf("changes"),
  );
  for (const change of changes) report.line(`      ${change}`);
  await report.step("unmount it", () => driver.put("original"));

  const paths = await report.step("list what changed", (options) => driver.changes("original", options), summaryOf);
  await report.step("add up what it takes", (options) => driver.diffSize("original", options), formatSize);
  const diff = workspace.join("original.tar");
  await report.step("take it out as a diff", () => saveDiff(driver, "original", diff, stage), formatSize);

  await report.step(`put a second layer "copy" on the base`, () => driver.create("copy", ON_BASE));
  await report.step("apply the diff to it", () => applyStream(driver, "copy", diff, stage), formatAmount);
  await requireSameChanges(driver, paths, stage);

  const comparison = await compareMounted(driver, stage);
  await report.step("remove the layers", () => removeAll(driver, ["copy", "original", "base"]));
  return comparison;
}

const ON_BASE = { parent: "base" } as const;

async function applyRootfs(driver: GraphDriver, rootfs: string, { report }: Stage): Promise<void> {
  using archive = openForReading(rootfs);
  await driver.create("base");
  await report.step(
    `apply it as the layer "base"`,
    (options) => driver.applyDiff("base", { fd: archive.fd }, options),
    formatThroughput,
  );
}

async function exportBase(driver: GraphDriver, { workspace, report }: Stage): Promise<void> {
  const path = workspace.join("base.tar");
  using archive = OutputFile.open(path);
  await report.step(
    `write "base" to an archive again`,
    (options) => driver.diffTo("base", { fd: archive.fd }, options),
    formatThroughput,
  );
}

/** By web streams, as another Deno program would. */
async function saveDiff(driver: GraphDriver, id: string, path: string, { signal }: Stage): Promise<number> {
  const file = await Deno.open(path, { write: true, createNew: true });
  await (await driver.diff(id, { signal })).pipeTo(file.writable, { signal });
  return (await Deno.stat(path)).size;
}

async function applyStream(
  driver: GraphDriver,
  id: string,
  path: string,
  { signal }: Stage,
): Promise<{ entries: number; bytes: number }> {
  const file = await Deno.open(path);
  return await driver.applyDiff(id, file.readable, { signal });
}

async function requireSameChanges(driver: GraphDriver, expected: Change[], { report }: Stage): Promise<void> {
  await report.step("list the changes of the copy: the same", async (options) => {
    const changes = await driver.changes("copy", options);
    if (JSON.stringify(changes) === JSON.stringify(expected)) return;
    throw new Error(`The copy's changes are not the original's: ${summaryOf(changes)}, not ${summaryOf(expected)}`);
  });
}

async function compareMounted(driver: GraphDriver, { report, signal }: Stage): Promise<Comparison> {
  const [original, copy] = await report.step(
    "mount both",
    async () => [await driver.get("original"), await driver.get("copy")] as const,
  );
  const comparison = await report.step(
    "compare the two trees",
    () => compareTrees(original.path, copy.path, { signal }),
    formatThroughput,
  );
  await report.step("unmount both", async () => {
    await driver.put("original");
    await driver.put("copy");
  });
  return comparison;
}

async function removeAll(driver: GraphDriver, ids: readonly string[]): Promise<void> {
  for (const id of ids) await driver.remove(id);
  const rest = await Array.fromAsync(driver.layers());
  if (rest.length > 0) throw new Error(`Layers are left: ${rest.map(({ id }) => id).join(", ")}`);
}

function countOf(what: string): (list: readonly unknown[]) => string {
  return ({ length }) => `${formatCount(length)} ${what}`;
}

function summaryOf(changes: readonly Change[]): string {
  const count = (kind: Change["kind"]): string => formatCount(changes.filter((change) => change.kind === kind).length);
  return `${count("modify")} modified, ${count("add")} added, ${count("delete")} deleted`;
}

const MOST_DIFFERENCES = 40;

/** The last line of the story, or what is wrong. Returns the number to end with. */
function tellResult({ entries, bytes, differences }: Comparison, { report }: Stage): number {
  if (differences.length === 0) {
    report.line(`The trees are identical: ${formatCount(entries)} entries and ${formatSize(bytes)} compared.`);
    return EXIT.ok;
  }
  report.line(`The trees differ in ${formatCount(differences.length)} respects (original | copy):`);
  for (const { path, what, left, right } of differences.slice(0, MOST_DIFFERENCES)) {
    report.line(`  ${JSON.stringify(path)} ${what}: ${left} | ${right}`);
  }
  return EXIT.failed;
}

async function rootfsOf(argument: string | undefined, { workspace, report, signal }: Stage): Promise<string> {
  if (argument !== undefined) return argument;
  const { path } = await report.step(
    "make a root file system of this host, with tar",
    () => makeHostRootfs(workspace.root, signal),
    ({ entries, sizeBytes, curious: { hardLinks, symlinks, setuid } }) =>
      `${formatAmount({ entries, bytes: sizeBytes })}; ${hardLinks} hard links, ${symlinks} symlinks, ${setuid} setuid`,
  );
  return path;
}

/** Archive, base, its export, and the slack of small files. */
const COPIES = 4;
const HOST_ROOTFS_BYTES = 250e6;
/** A root file system compresses to a third of its size, seldom to a fifth. */
const COMPRESSION = 5;

async function neededBytes(argument: string | undefined): Promise<number> {
  if (argument === undefined) return COPIES * HOST_ROOTFS_BYTES;
  const { size } = await Deno.stat(argument);
  return COPIES * size * (argument.endsWith(".tar") ? 1 : COMPRESSION);
}

async function runIn(workspace: Workspace, argument: string | undefined, stage: Stage): Promise<number> {
  const { report } = stage;
  report.line(`lamina on ${Deno.osRelease()}, Deno ${Deno.version.deno}, in ${workspace.path}`);
  const comparison = await tellStory(await rootfsOf(argument, stage), stage);
  const mounts = workspace.mounts();
  if (mounts.length > 0) throw new Error(`Still mounted after the last unmount: ${mounts.join(", ")}`);
  return tellResult(comparison, stage);
}

async function run([argument, ...rest]: readonly string[], signal: AbortSignal): Promise<number> {
  if (rest.length > 0 || argument?.startsWith("-")) throw new Refusal(EXIT.usage, "usage: deno task demo [ROOTFS.tar]");
  refuseUnfitUsers("demo");
  const report = new Report(signal);
  // Fails on a wrong name before anything is made.
  if (argument !== undefined) openForReading(argument)[Symbol.dispose]();
  const workspace = await Workspace.make({
    prefix: "lamina-demo-",
    neededBytes: await neededBytes(argument),
    signal,
    note: (line) => report.line(line),
  });
  let problems: string[] = [];
  let exitNumber: number;
  try {
    exitNumber = await runIn(workspace, argument, { workspace, report, signal });
  } finally {
    problems = await closeAndCheck(workspace);
    for (const problem of problems) report.line(`Clean-up: ${problem}`);
    if (problems.length === 0) report.line(`Nothing is mounted, and ${workspace.path} is gone.`);
  }
  return problems.length === 0 ? exitNumber : EXIT.failed;
}

/** What could not be cleaned up; it must not hide what went wrong before. */
async function closeAndCheck(workspace: Workspace): Promise<string[]> {
  try {
    await workspace.close();
    return findRemains(workspace.path);
  } catch (error) {
    return [String(error), ...findRemains(workspace.path)];
  }
}

/** Runs the demo in a user namespace, where this user is root. */
async function mainInNamespace(args: readonly string[]): Promise<number> {
  try {
    return await runInside(programItself(args), {}, SILENT);
  } catch (error) {
    return explain("demo", error);
  }
}

/** Runs the demo; the number to end with. */
async function main(args: readonly string[]): Promise<number> {
  if (Deno.build.os === "linux" && isOrdinaryUser()) return await mainInNamespace(args);
  using interruption = new Interruption();
  try {
    return await run(args, interruption.signal);
  } catch (error) {
    if (!interruption.signal.aborted) return explain("demo", error);
    Deno.stderr.writeSync(new TextEncoder().encode("demo: interrupted\n"));
    return EXIT.aborted;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));

// SPDX-License-Identifier: Apache-2.0

/**
 * One call of the engine in a process of its own, timed without the process's start. Prints `{"seconds": …}`.
 *
 *     apply ARCHIVE DIRECTORY | diff TREE OUTPUT | diff-size TREE | changes UPPER LOWER | compare ROOT RUN_ROOT
 *         [--warm-up ARCHIVE SCRATCH]
 *
 * To warm up, the archive is unpacked to a directory in SCRATCH first, and that directory is what the other jobs are done
 * with once before: same code, other files. What compares is just done twice.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_CREAT, O_DIRECTORY, O_RDONLY, O_TRUNC, O_WRONLY, openat } from "../ffi/file.ts";
import { openPlainArchive } from "../lib/archive/compression.ts";
import { changes } from "../lib/archive/changes.ts";
import { compare } from "../lib/archive/compare.ts";
import { pack } from "../lib/archive/pack.ts";
import { treeSize } from "../lib/archive/tree_size.ts";
import { HelperPool } from "../lib/archive/helper_thread.ts";
import { unpack } from "../lib/archive/unpack.ts";
import { openForReading } from "../lib/util/open_file.ts";
import { openDriver } from "../mod.ts";

/** Seconds of the engine's part alone. */
type Job = (input: string, output: string) => number | Promise<number>;

function secondsOf(work: () => unknown): number {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
}

/** As a driver of the library keeps one: the warm run finds a warm second thread. */
using pool = new HelperPool(1000);

function openDirectory(path: string): Fd {
  return new Fd(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
}

/** A compressed archive's helper is started within the time, as an owner of a layer has to wait for it. */
async function apply(archive: string, directory: string): Promise<number> {
  using root = openDirectory(directory);
  using input = openForReading(archive);
  const start = performance.now();
  {
    using plain = openPlainArchive(input.fd);
    await plain.ready;
    unpack(plain, root.fd, { startHelper: pool.start });
  }
  return (performance.now() - start) / 1000;
}

function diff(tree: string, output: string): number {
  using root = openDirectory(tree);
  using archive = new Fd(openat(AT_FDCWD, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600));
  return secondsOf(() => pack(root.fd, archive.fd, { startHelper: pool.start }));
}

function diffSize(tree: string): number {
  using root = openDirectory(tree);
  return secondsOf(() => treeSize(root.fd));
}

function changesOf(upper: string, lower: string): number {
  return secondsOf(() => changes(upper, [lower]));
}

/** What a driver does where the layer's own directory does not tell enough: its mount beside that of its parent. */
async function comparison(root: string, runRoot: string): Promise<number> {
  await using driver = await openDriver({ root, runRoot, work: "in-place" });
  await using newer = await driver.get("delta", { readOnly: true });
  await using older = await driver.get("base", { readOnly: true });
  using newerRoot = openDirectory(newer.path);
  using olderRoot = openDirectory(older.path);
  return secondsOf(() => compare(newerRoot.fd, olderRoot.fd));
}

const JOBS: Readonly<Record<string, Job>> = {
  apply,
  diff,
  "diff-size": diffSize,
  changes: changesOf,
  compare: comparison,
};
const COMPARING: ReadonlySet<Job> = new Set([changesOf, comparison]);

async function warmUp(job: Job, args: readonly string[], archive: string, scratch: string): Promise<void> {
  if (COMPARING.has(job)) return void await job(args[1]!, args[2]!);
  const directory = `${scratch}/warm-up`;
  await Deno.mkdir(directory);
  await apply(archive, directory);
  if (job !== apply) await job(directory, "/dev/null");
  await Deno.remove(directory, { recursive: true });
  await new Deno.Command("sync").output();
}

const args = Deno.args;
const job = JOBS[args[0]!];
if (job === undefined) throw new Error(`No job "${args[0]}": ${Object.keys(JOBS).join(", ")}`);
const warmUpAt = args.indexOf("--warm-up");
if (warmUpAt !== -1) await warmUp(job, args, args[warmUpAt + 1]!, args[warmUpAt + 2]!);
const seconds = await job(args[1]!, args[2]!);
Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify({ seconds })}\n`));

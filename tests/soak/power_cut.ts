// SPDX-License-Identifier: Apache-2.0

/**
 * Loss of power at a random moment.
 *
 * The store lies on a file system in a file, the disk. That file lies on XFS and is cloned while a process works on the
 * store: FICLONE keeps writers of the file out while it shares its blocks, so that the clone is what the disk held at one
 * moment, each of the kernel's writes whole or not there. What was in the page cache only is not in it. That is a machine
 * without power, whose disk loses nothing that it has confirmed; a disk that lies about its cache is not tried.
 *
 * @module
 */

import { DRIVER_NAMES, type DriverName, type SyncPolicy } from "../../mod.ts";
import { BTRFS, type Image, mountImage, needsImage, XFS } from "../_helpers/loop_images.ts";
import { needsOverlay, needsProgram, needsRoot, type Requirement } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { Random } from "../fuzz/random.ts";
import type { Budget, Fault, Tally } from "./fault.ts";
import { EMPTY_STORE, readLedger, stateToJson, withoutMounts } from "./layer_model.ts";
import { Operator } from "./operator.ts";
import { checkStore, lossesOf, type StoreReport } from "./store_check.ts";

/** Carries the disks. Sparse: as much is used as was written. */
const CARRIER: Image = { ...XFS, size: "8G" };
/** What a store lies on. `nouuid`: a clone has the same one. */
const DISKS = {
  ext4: { size: "256M", mkfs: ["mkfs.ext4", "-q"], options: "defaults" },
  xfs: { ...XFS, options: "nouuid" },
  btrfs: { ...BTRFS, options: "defaults" },
} as const satisfies Readonly<Record<string, Image>>;

type FileSystem = keyof typeof DISKS;
const FILE_SYSTEMS = Object.keys(DISKS) as FileSystem[];

/** Docker refuses its legacy driver on btrfs. */
const PAIRS = DRIVER_NAMES.flatMap((driver) =>
  FILE_SYSTEMS.filter((name) => !(driver === "overlay" && name === "btrfs")).map((fileSystem) => ({
    fileSystem,
    driver,
  }))
);
const CLONES = 3;
const LONGEST_WAIT_MS = 250;
const SHORT_ROUNDS = 6;

/** One run of a process on a disk. */
interface Round {
  fileSystem: FileSystem;
  driver: DriverName;
  sync: SyncPolicy;
  seed: number;
}

/** What became of the layers of one clone. */
interface Outcome {
  round: Round;
  report: StoreReport;
}

/** Where disks lie. */
class Carrier {
  constructor(readonly directory: TempDir, readonly path: string) {}

  static async make(directory: TempDir, fileSystems: Iterable<FileSystem>): Promise<Carrier> {
    const carrier = new Carrier(directory, await mountImage(directory, "carrier", CARRIER));
    for (const name of fileSystems) {
      const { size, mkfs } = DISKS[name];
      await runOk("truncate", ["-s", size, carrier.disk(name)]);
      await runOk(mkfs[0]!, [...mkfs.slice(1), carrier.disk(name)]);
    }
    for (const place of ["at-work", "after"]) await directory.mkdir(place);
    return carrier;
  }

  disk(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Makes the disk `to` as `from` is at this moment. */
  async clone(from: string, to: string): Promise<void> {
    await runOk("cp", ["--reflink=always", this.disk(from), this.disk(to)]);
  }

  /** Mounts a disk; what is returned unmounts it and everything in it. */
  async mount(name: string, fileSystem: FileSystem, place: string): Promise<AsyncDisposable & { path: string }> {
    const path = this.directory.join(place);
    await runOk("mount", ["-t", fileSystem, "-o", `loop,${DISKS[fileSystem].options}`, this.disk(name), path]);
    return {
      path,
      async [Symbol.asyncDispose](): Promise<void> {
        await runOk("umount", ["--recursive", path]);
      },
    };
  }

  /** The kernel may have its hands on a disk for a moment after it was unmounted: each gets a file of its own. */
  async remove(name: string): Promise<void> {
    await Deno.remove(this.disk(name));
  }
}

async function runRound(carrier: Carrier, round: Round, number: number): Promise<Outcome[]> {
  const { fileSystem, driver, sync, seed } = round;
  const random = Random.ofCase(seed, number);
  const name = `disk-${number}`;
  await carrier.clone(fileSystem, name);
  const certain: number[] = [];
  let lines;
  {
    await using disk = await carrier.mount(name, fileSystem, "at-work");
    const [root, runRoot] = [`${disk.path}/root`, carrier.directory.join(`run-${number}`)];
    const start = stateToJson(EMPTY_STORE);
    await using operator = new Operator({ root, runRoot, driver, sync, seed: random.below(1e9), start });
    await operator.begun;
    for (let i = 0; i < CLONES; i++) {
      await new Promise((resolve) => setTimeout(resolve, random.below(LONGEST_WAIT_MS)));
      certain.push(operator.lines.length);
      await carrier.clone(name, `${name}-clone-${i}`);
    }
    await operator.kill();
    lines = operator.lines;
  }
  await carrier.remove(name);
  const outcomes: Outcome[] = [];
  for (let i = 0; i < CLONES; i++) {
    const clone = `${name}-clone-${i}`;
    {
      await using disk = await carrier.mount(clone, fileSystem, "after");
      // State that ends with the machine has ended.
      const place = { root: `${disk.path}/root`, runRoot: carrier.directory.join(`run-${number}-${i}`), driver };
      const reading = readLedger(driver, EMPTY_STORE, lines, certain[i]!);
      outcomes.push({ round, report: await checkStore(place, withoutMounts(reading)) });
    }
    await carrier.remove(clone);
  }
  return outcomes;
}

/** What is promised and did not hold. */
function brokenPromises({ round, report }: Outcome): string[] {
  const losses = round.sync === "full" ? lossesOf(report) : round.sync === "metadata" ? report.strange : [];
  return losses.map((loss) => `${round.driver} on ${round.fileSystem}, sync ${round.sync}: ${loss}`);
}

async function run({ form, seconds, seed, onProgress }: Budget): Promise<Tally> {
  await using directory = await TempDir.make();
  const lacking = needsBtrfs.missing();
  const pairs = PAIRS.filter(({ fileSystem }) => lacking === undefined || fileSystem !== "btrfs");
  const carrier = await Carrier.make(directory, new Set(pairs.map(({ fileSystem }) => fileSystem)));
  const deadline = performance.now() + 1000 * seconds;
  const policies: SyncPolicy[] = form === "short" ? ["full", "metadata"] : ["full", "full", "metadata", "none"];
  const outcomes: Outcome[] = [];
  for (let i = 0; form === "short" ? i < SHORT_ROUNDS : performance.now() < deadline; i++) {
    const pair = pairs[i % pairs.length]!;
    const sync = policies[(i + Math.floor(i / pairs.length)) % policies.length]!;
    outcomes.push(...await runRound(carrier, { ...pair, sync, seed }, i));
    onProgress(`${outcomes.length} power cuts`);
    if (outcomes.some((outcome) => brokenPromises(outcome).length > 0)) break;
  }
  const notes = policies.filter((sync, i) => policies.indexOf(sync) === i).map((sync) => noteOn(sync, outcomes));
  if (lacking !== undefined) notes.push(lacking);
  return { tried: outcomes.length, lost: outcomes.flatMap(brokenPromises), note: notes.join("; ") };
}

/** What a policy kept and lost, and on which file systems it lost something. */
function noteOn(sync: SyncPolicy, outcomes: readonly Outcome[]): string {
  const ofPolicy = outcomes.filter(({ round }) => round.sync === sync);
  const sum = (count: (report: StoreReport) => number, among: readonly Outcome[] = ofPolicy): number =>
    among.reduce((total, { report }) => total + count(report), 0);
  const losses: [what: string, count: (report: StoreReport) => number][] = [
    ["gone", ({ missing }) => missing.length],
    ["called damaged", ({ damaged }) => damaged.length],
    ["with other content", ({ differing }) => differing.length],
  ];
  const texts = losses.map(([what, count]) => {
    const places = FILE_SYSTEMS
      .map((name) => [name, sum(count, ofPolicy.filter(({ round }) => round.fileSystem === name))] as const)
      .filter(([, times]) => times > 0)
      .map(([name, times]) => `${name} ${times}`);
    return `${sum(count)} ${what}${places.length === 0 ? "" : ` (${places.join(", ")})`}`;
  });
  return `${sync}: ${[`${sum(({ whole }) => whole)} whole`, ...texts].join(", ")}`;
}

/** Without it the others are tried: not every kernel has it. */
const needsBtrfs: Requirement = needsImage("btrfs images", DISKS.btrfs);

/** The fault. */
export const POWER_CUT: Fault = {
  name: "power-cut",
  promise:
    "the power fails: with sync full all that returned is there, with metadata the store opens and its own files are whole",
  needs: [
    needsRoot,
    needsOverlay,
    ...["mkfs.xfs", "mkfs.ext4"].map(needsProgram),
    needsImage("XFS images", CARRIER),
    needsImage("ext4 images", DISKS.ext4),
  ],
  run,
};

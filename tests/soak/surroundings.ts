// SPDX-License-Identifier: Apache-2.0

/**
 * What changes around a store while it is used: the host's name and its clock, whose the store is, the run root, and names
 * that somebody removes by hand.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { DRIVER_NAMES, type DriverName, type GraphDriver, isStorageError, openDriver } from "../../mod.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOverlay, needsProgram, needsRoot } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import type { Budget, Fault, Tally } from "./fault.ts";
import { archiveOf, firstDifference, readTree, treeOf } from "./layer_content.ts";
import type { Layer } from "./layer_model.ts";

const CLI = fileURLToPath(new URL("../../cli.ts", import.meta.url));

const BASE: Layer = { key: 1, remaps: 0 };
const CHILD: Layer = { parent: { id: "base", layer: BASE }, key: 2, remaps: 0 };

/** A store with two layers and one to write in. */
interface Place {
  root: string;
  runRoot: string;
  driver: DriverName;
}

async function fill(driver: GraphDriver): Promise<void> {
  await driver.create("base");
  await driver.applyDiff("base", ReadableStream.from([archiveOf(1, undefined)]));
  await driver.create("child", { parent: "base" });
  await driver.applyDiff("child", ReadableStream.from([archiveOf(2, 1)]));
  await driver.createReadWrite("job", { parent: "child" });
}

/** Throws unless both layers are whole and nothing is mounted. */
async function requireWhole(driver: GraphDriver, { root }: Place): Promise<void> {
  for (const [id, layer] of [["base", BASE], ["child", CHILD]] as const) {
    await using mounted = await driver.get(id, { readOnly: true });
    const difference = firstDifference(treeOf(layer), readTree(mounted.path));
    if (difference !== undefined) throw new Error(`${id}: ${difference}`);
  }
  const left = mountPointsBelow(root);
  if (left.length > 0) throw new Error(`${left.join(", ")} is still mounted`);
}

/** Counts go on under another name of the host. */
async function renameHost(place: Place): Promise<void> {
  await using driver = await openDriver({ ...place, work: "in-place" });
  await fill(driver);
  const store = ["--root", place.root, "--run-root", place.runRoot, "--driver", place.driver];
  const mounts: number[] = [];
  for (const [name, verb] of [["a", "mount"], ["b", "mount"], ["c", "unmount"], ["d", "unmount"]] as const) {
    const deno = [Deno.execPath(), "run", "--quiet", "--no-lock", "--allow-all", CLI, ...store, verb, "job"];
    await runOk("unshare", ["--uts", "sh", "-c", `hostname ${name}; exec "$@"`, "sh", ...deno]);
    mounts.push(mountPointsBelow(place.root).length);
  }
  if (mounts.join(" ") !== "1 1 1 0") throw new Error(`mounts after each step: ${mounts.join(" ")}`);
  await requireWhole(driver, place);
}

/** Whoever has the store open, and whoever opens it, goes on; the counts are those of a mount that somebody else made. */
async function removeRunRoot(place: Place): Promise<void> {
  await using driver = await openDriver({ ...place, work: "in-place" });
  await fill(driver);
  await driver.get("job");
  await driver.get("job");
  await Deno.remove(place.runRoot, { recursive: true });
  await driver.get("job");
  await driver.changes("job");
  await (await driver.diff("child", { parent: null })).pipeTo(new WritableStream());
  await driver.createReadWrite("other", { parent: "child" });
  await driver.get("other");
  await driver.put("other");
  for (let puts = 0; puts < 2; puts++) await driver.put("job");
  await requireWhole(driver, place);
}

/** The machine stops with layers mounted, and starts again: what lies in the store says nothing of before. */
async function reboot(place: Place): Promise<void> {
  const before = await openDriver({ ...place, work: "in-place" });
  await fillAndDispose(place);
  await before.get("job");
  await before.get("job");
  for (const path of mountPointsBelow(place.root)) await runOk("umount", [path]);
  // The run root may be on a disk, and then it is still there.
  await using driver = await openDriver({ ...place, work: "in-place" });
  await driver.get("job");
  await driver.put("job");
  await requireWhole(driver, place);
  await driver.remove("job");
}

async function fillAndDispose(place: Place): Promise<void> {
  await using driver = await openDriver({ ...place, work: "in-place" });
  await fill(driver);
}

/** Each call comes through, or says that the store is damaged. A repair makes the names again. */
async function removeShortNames(place: Place): Promise<void> {
  await using driver = await openDriver({ ...place, work: "in-place" });
  await fill(driver);
  await driver.get("job");
  await Deno.remove(`${driver.home}/l`, { recursive: true });
  const calls: (() => Promise<unknown>)[] = [
    () => Array.fromAsync(driver.layers()),
    () => driver.changes("job"),
    () => driver.put("job"),
    () => driver.get("job"),
    () => driver.put("job"),
    () => driver.create("new", { parent: "child" }),
    () => driver.remove("child"),
  ];
  for (const call of calls) {
    try {
      await call();
    } catch (error) {
      if (!isStorageError(error, "store_damaged", "layer_in_use")) throw error;
    }
  }
  for await (const { code, repaired } of driver.check({ repair: true })) {
    if (!repaired) throw new Error(`check --repair leaves ${code}`);
  }
  for (let puts = 0; puts < 2; puts++) await driver.put("job");
  await requireWhole(driver, place);
}

/** The `nobody` of many systems. */
const SOMEBODY = 65534;
const YEARS_MS = 10 * 365 * 24 * 3600 * 1000;

/** A clock that jumps years, for this process; the kernel's, by which files get their times, goes on. */
class JumpingClock implements Disposable {
  readonly #now = Date.now;
  #offsetMs = 0;

  constructor() {
    Date.now = () => this.#now.call(Date) + this.#offsetMs;
  }

  jump(ms: number): void {
    this.#offsetMs += ms;
  }

  [Symbol.dispose](): void {
    Date.now = this.#now;
  }
}

/** What a living process is at stays, what a dead one left goes, and counts go on, be it years ago or years ahead. */
async function jumpClock(place: Place): Promise<void> {
  using clock = new JumpingClock();
  await using driver = await openDriver({ ...place, work: "in-place" });
  await fill(driver);
  await driver.get("job");
  await driver.create("slow", { parent: "base" });
  for (const ms of [YEARS_MS, -2 * YEARS_MS]) {
    clock.jump(ms);
    await driver.get("job");
    const left = `${driver.home}/.lamina-create-LEFT`;
    await Deno.mkdir(left);
    const abort = new AbortController();
    const apply = driver.applyDiff("slow", endlessArchive(), { signal: abort.signal }).catch((error: unknown) => error);
    await untilThere(`${driver.home}/slow/.lamina-applying`);
    const found = (await Array.fromAsync(driver.check())).map(({ path }) => path);
    if (found.join(" ") !== left) throw new Error(`check() tells of ${found.join(" ")}`);
    const swept = await driver.sweep();
    if (swept.join(" ") !== ".lamina-create-LEFT") throw new Error(`sweep() removed ${swept.join(" ")}`);
    abort.abort();
    if (!isStorageError(await apply, "aborted")) throw new Error("an apply that was given up did not end so");
  }
  for (let puts = 0; puts < 3; puts++) {
    if (mountPointsBelow(place.root).length !== 1) throw new Error(`job is not mounted, after ${puts} of 3 puts`);
    await driver.put("job");
  }
  await driver.applyDiff("slow", ReadableStream.from([archiveOf(3, 1)]));
  await requireWhole(driver, place);
}

function endlessArchive(): ReadableStream<Uint8Array> {
  const begin = archiveOf(3, 1).slice(0, 512);
  return new ReadableStream({
    start: (controller) => controller.enqueue(begin),
    pull: () => new Promise<void>(() => {}),
  }, { highWaterMark: 0 });
}

async function untilThere(path: string): Promise<void> {
  const giveUp = performance.now() + 30_000;
  while (!await Deno.lstat(path).then(() => true, () => false)) {
    if (performance.now() > giveUp) throw new Error(`${path} does not come`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Whoever the store's own directories and files come to belong to: root goes on, and `check` says whose they are. */
async function giveAway(place: Place): Promise<void> {
  await using driver = await openDriver({ ...place, work: "in-place" });
  await fill(driver);
  await driver.get("job");
  await chownStore(place, SOMEBODY);
  await driver.get("job");
  await driver.createReadWrite("other", { parent: "child" });
  await driver.changes("job");
  await driver.remove("other");
  for (let puts = 0; puts < 2; puts++) await driver.put("job");
  const codes = new Set((await Array.fromAsync(driver.check({ repair: true }))).map(({ code }) => code));
  if ([...codes].join(" ") !== "owner_wrong") throw new Error(`check --repair tells of ${[...codes].join(" ")}`);
  await chownStore(place, 0);
  await requireWhole(driver, place);
}

/** The home, its layers and what each has; not what lies in their content. */
async function chownStore({ root }: Place, uid: number): Promise<void> {
  await runOk("find", [root, "-xdev", "-maxdepth", "3", "-exec", "chown", "-h", String(uid), "{}", "+"]);
}

const CASES: Readonly<Record<string, (place: Place) => Promise<void>>> = {
  "another host name": renameHost,
  "a clock that jumps": jumpClock,
  "another owner": giveAway,
  "the run root removed": removeRunRoot,
  "a reboot": reboot,
  "l/ removed": removeShortNames,
};

async function run({ onProgress }: Budget): Promise<Tally> {
  const lost: string[] = [];
  let tried = 0;
  for (const driver of DRIVER_NAMES) {
    for (const [what, happen] of Object.entries(CASES)) {
      if (driver === "overlay" && happen === removeShortNames) continue;
      await using directory = await TempDir.make();
      const place: Place = { root: directory.join("root"), runRoot: directory.join("run"), driver };
      try {
        await happen(place);
      } catch (error) {
        lost.push(`${driver}, ${what}: ${error instanceof Error ? error.stack : error}`);
      }
      onProgress(`${++tried} changes around a store`);
    }
  }
  return { tried, lost, note: Object.keys(CASES).join(", ") };
}

/** The fault. */
export const SURROUNDINGS: Fault = {
  name: "surroundings",
  promise:
    "host name, clock or owner change, the run root or l/ goes, with layers mounted: nothing is lost, counts go on",
  needs: [needsRoot, needsOverlay, needsProgram("unshare")],
  run,
};

// SPDX-License-Identifier: Apache-2.0

/**
 * No byte, or no inode, left: on a file system that is full to the last one, also for the state in the run root. And a quota
 * that is reached: one of btrfs, which binds root as well.
 *
 * @module
 */

import { DRIVER_NAMES, type DriverName, type GraphDriver, isStorageError, openDriver } from "../../mod.ts";
import { BTRFS, type Image, mountImage, needsImage } from "../_helpers/loop_images.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsProgram, needsRoot } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import type { Budget, Fault, Tally } from "./fault.ts";
import { archiveOf, firstDifference, readTree, REMAPPED, treeOf } from "./layer_content.ts";
import type { Layer } from "./layer_model.ts";

/** Small, so that it is soon full. */
const EXT4: Image = { size: "16M", mkfs: ["mkfs.ext4", "-q", "-N", "600", "-m", "0"] };
const TMPFS_OPTIONS = "size=8M,nr_inodes=600";
const QUOTA = "8M";
/** Not every kernel has it. */
const needsBtrfs = needsImage("btrfs images", BTRFS);

type Resource = "bytes" | "inodes" | "quota";

/** One store on one file system that runs full. */
interface Case {
  driver: DriverName;
  fileSystem: "ext4" | "tmpfs" | "btrfs";
  resource: Resource;
}

const BASE: Layer = { key: 1, remaps: 0 };
const CHILD: Layer = { parent: { id: "base", layer: BASE }, key: 2, remaps: 0 };
const AWAY = { uidMaps: [REMAPPED], gidMaps: [REMAPPED] };

/** A case in the making. */
class FullDisk {
  readonly lost: string[] = [];
  readonly #name: string;
  readonly #refusal: "no_space" | "quota_exceeded";

  constructor(readonly what: Case, readonly place: string, readonly driver: GraphDriver) {
    this.#refusal = what.resource === "quota" ? "quota_exceeded" : "no_space";
    this.#name = `${what.driver} on ${what.fileSystem} without ${what.resource}`;
  }

  /** Layers of all kinds, one of them mounted for two. */
  async prepare(): Promise<void> {
    const { driver } = this;
    await driver.create("base");
    await driver.applyDiff("base", ReadableStream.from([archiveOf(1, undefined)]));
    await driver.create("child", { parent: "base" });
    await driver.applyDiff("child", ReadableStream.from([archiveOf(2, 1)]));
    await driver.create("empty", { parent: "base" });
    await driver.create("removed", { parent: "child" });
    await driver.createReadWrite("mounted", { parent: "child" });
    await driver.createReadWrite("forced", { parent: "child" });
    for (const id of ["mounted", "mounted", "forced"]) await driver.get(id);
  }

  /** Takes all that is left. */
  async fill(): Promise<void> {
    const script = this.what.resource !== "inodes"
      // ext4 gives what is left in smaller and smaller pieces.
      ? "for n in 1M 64K 4K 1K 1; do while head -c $n /dev/zero >>filler/bytes; do :; done; done"
      : "i=0; while : >filler/$i; do i=$((i+1)); done";
    await runOk("bash", ["-c", `mkdir filler; { ${script}; } 2>/dev/null; sync -f filler; true`], { cwd: this.place });
  }

  async drain(): Promise<void> {
    await Deno.remove(`${this.place}/filler`, { recursive: true });
  }

  /** Does what needs space: it fails with `no_space` or `quota_exceeded`, and leaves nothing. */
  async expectRefusal(what: string, call: () => Promise<unknown>): Promise<void> {
    const before = await this.#names();
    const error = await call().then(() => undefined, (reason: unknown) => reason);
    // Some calls need but one of the two.
    if (error !== undefined && !isStorageError(error, this.#refusal)) this.lose(`${what}: ${error}`);
    if (error === undefined) return;
    const after = await this.#names();
    const more = after.filter((name) => !before.includes(name));
    if (more.length > 0) this.lose(`${what} failed and left ${more.join(", ")}`);
  }

  /** Does what must work always. */
  async expectSuccess(what: string, call: () => Promise<unknown>): Promise<void> {
    const error = await call().then(() => undefined, (reason: unknown) => reason);
    if (error !== undefined) this.lose(`${what}: ${error}`);
  }

  async expectTree(id: string, layer: Layer): Promise<void> {
    await this.expectSuccess(`reading ${id}`, async () => {
      await using mounted = await this.driver.get(id, { readOnly: true });
      const difference = firstDifference(treeOf(layer), readTree(mounted.path));
      if (difference !== undefined) this.lose(`${id}: ${difference}`);
    });
  }

  lose(text: string): void {
    this.lost.push(`${this.#name}: ${text}`);
  }

  /** Names in the home, in its layers and in `l`. */
  async #names(): Promise<string[]> {
    const { home } = this.driver;
    const names: string[] = [];
    for (const name of await namesIn(home)) {
      const { isDirectory } = await Deno.lstat(`${home}/${name}`);
      names.push(name, ...isDirectory ? (await namesIn(`${home}/${name}`)).map((inner) => `${name}/${inner}`) : []);
    }
    return names;
  }
}

/** Makes something small; returns where it is. */
async function makeDisk(directory: TempDir, { fileSystem }: Case, name: string): Promise<string> {
  if (fileSystem === "ext4") return await mountImage(directory, name, EXT4);
  if (fileSystem === "tmpfs") {
    const place = await directory.mkdir(name);
    await runOk("mount", ["-t", "tmpfs", "-o", TMPFS_OPTIONS, "tmpfs", place]);
    return place;
  }
  const place = `${await mountImage(directory, name, BTRFS)}/limited`;
  const script = `btrfs quota enable "\${1%/*}"; btrfs subvolume create "$1"; btrfs qgroup limit ${QUOTA} "$1"`;
  await runOk("bash", ["-ec", script, "bash", place]);
  return place;
}

async function runCase(directory: TempDir, what: Case, number: number): Promise<string[]> {
  const place = await makeDisk(directory, what, `disk-${number}`);
  const settings = { root: `${place}/root`, runRoot: `${place}/run`, driver: what.driver, work: "in-place" } as const;
  await using driver = await openDriver(settings);
  const disk = new FullDisk(what, place, driver);
  await disk.prepare();
  await disk.fill();
  await disk.expectRefusal("create", () => driver.create("new", { parent: "base" }));
  await disk.expectRefusal("createReadWrite", () => driver.createReadWrite("new", { parent: "child" }));
  await disk.expectRefusal("createFromTemplate", () => driver.createFromTemplate("new", "child"));
  await disk.expectRefusal("apply", () => driver.applyDiff("empty", ReadableStream.from([archiveOf(3, 1)])));
  if (what.driver === "containers-overlay") {
    await disk.expectRefusal("remap", () => driver.updateLayerIdMap("removed", undefined, AWAY));
  }
  await disk.expectRefusal("get", () => driver.get("removed"));
  for (const id of ["mounted", "mounted", "removed"]) await disk.expectSuccess(`put ${id}`, () => driver.put(id));
  if (mountPointsBelow(`${driver.home}/mounted`).length > 0) disk.lose("mounted is still mounted after its last put");
  await disk.expectSuccess("changes", () => driver.changes("child"));
  for (const id of ["mounted", "removed"]) await disk.expectSuccess(`remove ${id}`, () => driver.remove(id));
  await disk.expectSuccess("forced removal", () => driver.remove("forced", { force: true }));
  await disk.drain();
  if (await driver.exists("new")) await disk.expectSuccess("remove new", () => driver.remove("new"));
  await disk.expectTree("base", BASE);
  await disk.expectTree("child", CHILD);
  const ids = (await Array.fromAsync(driver.layers())).map(({ id }) => id).join(", ");
  if (ids !== "base, child, empty") disk.lose(`there is ${ids}`);
  await disk.expectSuccess("apply, with space again", () => fillOnce(driver));
  await disk.expectSuccess("create, with space again", () => driver.create("new", { parent: "child" }));
  const left = (await namesIn(driver.home)).filter((name) => name.startsWith("."));
  if (left.length > 0) disk.lose(`left over: ${left.join(", ")}`);
  return disk.lost;
}

/** Applying to the layer for which there was no space; it may have had enough at the first time. */
async function fillOnce(driver: GraphDriver): Promise<void> {
  try {
    await driver.applyDiff("empty", ReadableStream.from([archiveOf(3, 1)]));
  } catch (error) {
    if (!isStorageError(error, "layer_not_empty")) throw error;
  }
}

async function run({ onProgress }: Budget): Promise<Tally> {
  await using directory = await TempDir.make();
  const cases: Case[] = DRIVER_NAMES.flatMap((driver) =>
    (["ext4", "tmpfs"] as const).flatMap((fileSystem) =>
      (["bytes", "inodes"] as const).map((resource) => ({ driver, fileSystem, resource }))
    )
  );
  const lacking = needsBtrfs.missing();
  if (lacking === undefined) {
    // Docker refuses its legacy driver on btrfs.
    const drivers = DRIVER_NAMES.filter((driver) => driver !== "overlay");
    cases.push(...drivers.map((driver) => ({ driver, fileSystem: "btrfs", resource: "quota" } as const)));
  }
  const lost: string[] = [];
  for (const [i, what] of cases.entries()) {
    lost.push(...await runCase(directory, what, i));
    onProgress(`${i + 1} of ${cases.length} full disks`);
  }
  const note = `ext4 and tmpfs, no byte and no inode free; ${lacking ?? "btrfs, a quota reached"}`;
  return { tried: cases.length, lost, note };
}

/** The fault. */
export const FULL_DISK: Fault = {
  name: "full-disk",
  promise:
    "no byte or no inode is left, or a quota is reached: an error and nothing half; unmounting and removing work",
  needs: [needsRoot, needsOverlay, ...["mkfs.ext4", "btrfs"].map(needsProgram), needsImage("ext4 images", EXT4)],
  run,
};

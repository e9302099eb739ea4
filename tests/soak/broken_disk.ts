// SPDX-License-Identifier: Apache-2.0

/**
 * A disk that cannot be written any more, because the file system was remounted read-only, or not be read at one place,
 * because the file that it lies in was cut short.
 *
 * @module
 */

import { DRIVER_NAMES, type DriverName, type GraphDriver, isStorageError, openDriver } from "../../mod.ts";
import { type Image, mountImage, needsImage } from "../_helpers/loop_images.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsProgram, needsRoot } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import type { Budget, Fault, Tally } from "./fault.ts";
import { archiveOf, firstDifference, readTree, REMAPPED, treeOf } from "./layer_content.ts";
import type { Layer } from "./layer_model.ts";

/** One group of blocks, so that what describes files lies before all of them. */
const DISK: Image = {
  size: "32M",
  mkfs: ["mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=0"],
};
const BLOCK = 4096;
/** Of the big file, how much can be read where the disk is cut: less than a copy finds room for. */
const KEPT = 1 << 20;
/** Left when the big file takes the rest. */
const SPARE = 1 << 20;

const BASE: Layer = { key: 1, remaps: 0 };
const CHILD: Layer = { parent: { id: "base", layer: BASE }, key: 2, remaps: 0 };
const AWAY = { uidMaps: [REMAPPED], gidMaps: [REMAPPED] };

/** One store on one disk. */
class BrokenDisk implements AsyncDisposable {
  readonly lost: string[] = [];
  readonly #directory: TempDir;
  readonly #name: string;
  readonly path: string;

  private constructor(directory: TempDir, name: string, path: string, readonly driverName: DriverName) {
    this.#directory = directory;
    this.#name = name;
    this.path = path;
  }

  static async make(directory: TempDir, name: string, driver: DriverName): Promise<BrokenDisk> {
    const disk = new BrokenDisk(directory, name, await mountImage(directory, name, DISK), driver);
    await using store = await disk.open();
    await store.create("base");
    await store.applyDiff("base", ReadableStream.from([archiveOf(1, undefined)]));
    await store.create("child", { parent: "base" });
    await store.applyDiff("child", ReadableStream.from([archiveOf(2, 1)]));
    await store.createReadWrite("job", { parent: "child" });
    await store.create("empty", { parent: "base" });
    await store.create("big", { parent: "base" });
    const room = `${disk.path}/room`;
    await Deno.writeFile(room, new Uint8Array(4 * SPARE));
    await runOk("sync", ["-f", room]);
    const { stdout } = await runOk("df", ["--output=avail", "-B1", disk.path]);
    disk.bigBytes = Number(stdout.split("\n")[1]) - SPARE;
    await store.applyDiff("big", ReadableStream.from([tarOf([{ path: "big", data: "x".repeat(disk.bigBytes) }])]));
    await Deno.remove(room);
    return disk;
  }

  /** Bytes of the file in the layer `big`. */
  bigBytes = 0;

  open(): Promise<GraphDriver> {
    const [root, runRoot] = [`${this.path}/root`, this.#directory.join(`${this.#name}-run`)];
    return openDriver({ root, runRoot, driver: this.driverName, work: "in-place" });
  }

  lose(text: string): void {
    this.lost.push(`${this.driverName} on ${this.#name}: ${text}`);
  }

  /** Does what cannot be done: it fails with `code`, and leaves nothing. */
  async expectRefusal(code: string, what: string, call: () => Promise<unknown>): Promise<void> {
    const home = `${this.path}/root/${this.driverName === "overlay2" ? "overlay2" : "overlay"}`;
    const before = (await namesIn(home)).join(" ");
    const error = await call().then(() => undefined, (reason: unknown) => reason);
    if (!isStorageError(error) || error.code !== code) this.lose(`${what}: ${error ?? "no error"}, not ${code}`);
    const after = (await namesIn(home)).join(" ");
    if (after !== before) this.lose(`${what} left ${after}, before there was ${before}`);
  }

  async expectSuccess<T>(what: string, call: () => Promise<T>): Promise<T | undefined> {
    try {
      return await call();
    } catch (error) {
      this.lose(`${what}: ${error}`);
      return undefined;
    }
  }

  async expectTree(driver: GraphDriver, id: string, layer: Layer): Promise<void> {
    await this.expectSuccess(`reading ${id}`, async () => {
      await using mounted = await driver.get(id, { readOnly: true });
      const difference = firstDifference(treeOf(layer), readTree(mounted.path));
      if (difference !== undefined) this.lose(`${id}: ${difference}`);
    });
  }

  async remount(options: string): Promise<void> {
    await runOk("mount", ["-o", `remount,${options}`, this.path]);
  }

  /** Also in mount namespaces that somebody made meanwhile, from which it goes with its mount point: else it stays in use. */
  async unmount(): Promise<void> {
    await runOk("umount", ["--recursive", this.path]);
    await Deno.remove(this.path);
    await Deno.mkdir(this.path);
  }

  async mountAgain(): Promise<void> {
    await runOk("mount", ["-o", "loop", this.imageFile, this.path]);
  }

  get imageFile(): string {
    return `${this.path}.image`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount();
    await Deno.remove(this.imageFile);
  }
}

async function diffAll(driver: GraphDriver, id: string): Promise<number> {
  let bytes = 0;
  for await (const chunk of await driver.diff(id)) bytes += chunk.length;
  return bytes;
}

async function remountReadOnly(directory: TempDir, driverName: DriverName): Promise<string[]> {
  await using disk = await BrokenDisk.make(directory, `read-only-${driverName}`, driverName);
  await using driver = await disk.open();
  await driver.get("job");
  await disk.remount("ro");
  const refused = (what: string, call: () => Promise<unknown>): Promise<void> =>
    disk.expectRefusal("store_read_only", what, call);
  await refused("create", () => driver.create("new", { parent: "base" }));
  await refused("createFromTemplate", () => driver.createFromTemplate("new", "child"));
  await refused("apply", () => driver.applyDiff("empty", ReadableStream.from([archiveOf(3, 1)])));
  await refused("remove", () => driver.remove("big"));
  if (driverName === "containers-overlay") {
    await refused("remap", () => driver.updateLayerIdMap("big", undefined, AWAY));
  }
  await disk.expectSuccess("put", () => driver.put("job"));
  const ids = (await Array.fromAsync(driver.layers())).map(({ id }) => id).join(" ");
  if (ids !== "base big child empty job") disk.lose(`there is ${ids}`);
  await disk.expectSuccess("changes", () => driver.changes("child"));
  await disk.expectSuccess("diff", () => diffAll(driver, "child"));
  await disk.remount("rw");
  await expectAllWorks(disk, driver);
  return disk.lost;
}

async function expectAllWorks(disk: BrokenDisk, driver: GraphDriver): Promise<void> {
  await disk.expectTree(driver, "base", BASE);
  await disk.expectTree(driver, "child", CHILD);
  await disk.expectSuccess("diff, again", async () => {
    const bytes = await diffAll(driver, "big");
    if (bytes < disk.bigBytes) disk.lose(`the diff of big has ${bytes} bytes`);
  });
  await disk.expectSuccess("apply, again", () => driver.applyDiff("empty", ReadableStream.from([archiveOf(3, 1)])));
  await disk.expectTree(driver, "empty", { parent: { id: "base", layer: BASE }, key: 3, remaps: 0 });
  await disk.expectSuccess("create, again", () => driver.create("new", { parent: "child" }));
  await disk.expectSuccess("remove, again", () => driver.remove("big"));
}

async function cutShort(directory: TempDir, driverName: DriverName): Promise<string[]> {
  await using disk = await BrokenDisk.make(directory, `cut-short-${driverName}`, driverName);
  const cut = await placeOf(await findFile(disk.path, "big"), KEPT);
  await disk.unmount();
  await disk.mountAgain();
  const whole = await Deno.readFile(disk.imageFile);
  await Deno.truncate(disk.imageFile, cut);
  // Told of its new size the device refuses what lies behind it; else a write there would make the file longer again.
  const { stdout: device } = await runOk("losetup", ["-n", "-O", "NAME", "-j", disk.imageFile]);
  await runOk("losetup", ["-c", device.trim()]);
  {
    await using driver = await disk.open();
    const failed = (what: string, call: () => Promise<unknown>): Promise<void> =>
      disk.expectRefusal("system_error", what, call);
    await failed("diff", () => diffAll(driver, "big"));
    // These copy: of containers/storage the one is a child, and of overlay2 and the legacy driver there is no other.
    if (driverName === "containers-overlay") {
      await failed("remap", () => driver.updateLayerIdMap("big", undefined, AWAY));
    } else if (driverName === "overlay2") {
      await failed("createFromTemplate", () => driver.createFromTemplate("new", "big"));
    }
    await disk.expectTree(driver, "child", CHILD);
  }
  await disk.unmount();
  {
    using file = await Deno.open(disk.imageFile, { write: true });
    await file.seek(cut, Deno.SeekMode.Start);
    const rest = whole.subarray(cut);
    for (let done = 0; done < rest.length;) done += await file.write(rest.subarray(done));
  }
  await disk.mountAgain();
  await using driver = await disk.open();
  await expectAllWorks(disk, driver);
  return disk.lost;
}

async function findFile(directory: string, name: string): Promise<string> {
  const { stdout } = await runOk("find", [directory, "-type", "f", "-name", name, "-print", "-quit"]);
  return stdout.trim();
}

/** Where the byte `offset` of the file lies on its disk. */
async function placeOf(file: string, offset: number): Promise<number> {
  await runOk("sync", [file]);
  const { stdout } = await runOk("filefrag", ["-e", file]);
  const block = offset / BLOCK;
  for (const [, first, last, place] of stdout.matchAll(/^ *\d+: +(\d+)\.\. *(\d+): +(\d+)\.\./gm)) {
    if (Number(first) <= block && block <= Number(last)) return (Number(place) + block - Number(first)) * BLOCK;
  }
  throw new Error(`cannot tell where ${file} lies:\n${stdout}`);
}

async function run({ onProgress }: Budget): Promise<Tally> {
  await using directory = await TempDir.make();
  const lost: string[] = [];
  let tried = 0;
  for (const driver of DRIVER_NAMES) {
    for (const happen of [remountReadOnly, cutShort]) {
      lost.push(...await happen(directory, driver));
      onProgress(`${++tried} broken disks`);
    }
  }
  return { tried, lost, note: "a read-only remount; a disk cut short (EIO)" };
}

/** The fault. */
export const BROKEN_DISK: Fault = {
  name: "broken-disk",
  promise: "the disk cannot be written, or read: an error and nothing half; all works again with the disk",
  needs: [needsRoot, needsOverlay, needsProgram("filefrag"), needsImage("ext4 images", DISK)],
  run,
};

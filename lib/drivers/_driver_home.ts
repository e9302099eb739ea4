// SPDX-License-Identifier: Apache-2.0

/**
 * One home in use, whatever its format: who mounts, what the kernel can do there, where work runs, what is locked.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, existsat } from "../../ffi/file.ts";
import { MS_RDONLY } from "../../ffi/mount.ts";
import { geteuid } from "../../ffi/process.ts";
import { statat } from "../../ffi/stat.ts";
import { statfs } from "../../ffi/statfs.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { type IdMaps, rootPair } from "../id_map.ts";
import type { Logger } from "../log.ts";
import type { Mounter } from "../mount/mounter.ts";
import type { MountState } from "../mount/mount_program.ts";
import type { OverlayFeatures } from "../mount/overlay_features.ts";
import type { OverlayMount } from "../mount/overlay_mount.ts";
import { type DirectoryLock, lockDirectory, tryLockDirectory } from "../util/directory_lock.ts";
import { DirectoryNames } from "../util/directory_names.ts";
import { makeDirectories, makeRunDirectory, requireOwnDirectory } from "../util/run_file.ts";
import { featuresOf } from "./_features_cache.ts";
import type { LayerBooks } from "./_layer_books.ts";
import { LayerMounts } from "./_layer_mounts.ts";
import { LayerSync } from "./_layer_sync.ts";
import { makeOwnedDirectory, type Owner } from "./_owner.ts";
import type { Problem } from "./_problem.ts";
import type { DriverName } from "./driver_name.ts";
import type { SyncPolicy } from "./sync_policy.ts";
import { ViewRecords } from "./_view_records.ts";
import { WorkerRunner, type WorkRunner } from "./_work_runner.ts";

const PARENTS_MODE = 0o755;
/** Mount points of layers whose store is not to be written. */
const BESIDE = "merged";
/** Records of views. */
const VIEWS = "views";

/** How a home is opened. */
export interface HomeSettings {
  home: string;
  runRoot: string;
  idMaps: IdMaps | undefined;
  /** Who mounts layers. */
  mounter: Mounter;
  logger: Logger;
  runner: WorkRunner;
  /** What is waited for. */
  sync: SyncPolicy;
  /** Called with the home before it is used, and may refuse it. */
  checkHome?: (home: string) => void;
}

/** Where things lie in a home. */
export interface HomeLayout {
  readonly home: string;
  exists(id: string): boolean;
  layerIds(): string[];
  parentOf(id: string): string | undefined;
  depthOf(id: string): number;
  dir(id: string): string;
  /** The layer's own files. */
  contentDir(id: string): string;
  mergedDir(id: string): string;
  /** The directories that are stacked to show the layer, uppermost first. */
  treeDirs(id: string): string[];
  /** Content that is being unpacked; locked meanwhile. */
  applyingDir(id: string): string;
  /** Whether content lies aside that did not become the layer's. */
  isHalfApplied(id: string): boolean;
  /** Where it is noted that another layer lies on this one, in formats that note it. */
  committedFile(id: string): string;
}

/** What there can be of a home's layers in the run root, and seldom is. */
export interface Beside {
  /** Layers shown at places of the user's choice. */
  hasViews: boolean;
  /** Mounts of layers whose store is not to be written. */
  hasMounts: boolean;
}

/** What one look at a home found. */
export interface FoundInHome {
  /** In the order in which they can be repaired. */
  problems: Problem[];
  /** The layers that there are. */
  ids: string[];
}

/** What the methods of a driver share. */
export abstract class DriverHome<L extends HomeLayout = HomeLayout> implements Disposable {
  /** Where work runs whose input and output are descriptors. */
  readonly runner: WorkRunner;
  /** Who mounts layers. */
  readonly mounter: Mounter;
  readonly logger: Logger;
  readonly idMaps: IdMaps | undefined;
  /** What of it is on the disk, and when. */
  readonly sync: LayerSync;
  readonly #settings: HomeSettings;
  #workers: WorkRunner | undefined;
  #mounts: LayerMounts | undefined;
  #views: ViewRecords | undefined;
  #features: OverlayFeatures | undefined;
  #runNames: DirectoryNames | undefined;

  /**
   * @param driver The driver's name, by which its homes are told apart in the run root.
   * @param kernelOptions Mount options of the driver by which the kernel's answers may change.
   */
  constructor(
    settings: HomeSettings,
    readonly driver: DriverName,
    readonly layout: L,
    readonly kernelOptions: readonly string[] = [],
  ) {
    this.#settings = settings;
    this.runner = settings.runner;
    this.mounter = settings.mounter;
    this.logger = settings.logger;
    this.idMaps = settings.idMaps;
    this.sync = new LayerSync(settings.sync, layout.home, settings.runner);
  }

  /** Of the home's directory. */
  protected abstract readonly homeMode: number;

  /** Whom the home's directory belongs to. */
  protected abstract homeOwner(): Owner;

  /** @throws {StorageError} `store_damaged`: the layer's content is not there. */
  abstract requireContent(id: string): void;

  /** @throws {StorageError} `store_damaged`: a directory that the layer is mounted from is missing. */
  abstract requireDirectories(id: string): void;

  /** What is wrong at the moment. */
  abstract findProblems(books: LayerBooks | undefined, signal: AbortSignal | undefined): Promise<FoundInHome>;

  /** Whether nothing below the layer's own content is seen through it, so that deletions in it delete nothing. */
  abstract coversNothing(id: string): boolean;

  /** Whether files named `.wh.…` are deletions here. */
  get deletesByName(): boolean {
    return false;
  }

  /** The books that lie beside the home, in formats that have such. */
  get ownBooks(): LayerBooks | undefined {
    return undefined;
  }

  /** A layer that lies on `id`, if there is any. */
  abstract findChildOf(id: string): string | undefined;

  /** Whether another layer lies on this one, or did. */
  isCommitted(id: string): boolean {
    return existsat(AT_FDCWD, this.layout.committedFile(id));
  }

  /** Whether that is noted. */
  abstract readonly marksCommitted: boolean;

  /** Where work runs whose other end is a stream, which this thread has to keep moving. */
  get workers(): WorkRunner {
    if (this.runner instanceof WorkerRunner) return this.runner;
    return this.#workers ??= new WorkerRunner();
  }

  /** Ends the Workers. */
  [Symbol.dispose](): void {
    this.runner[Symbol.dispose]();
    this.#workers?.[Symbol.dispose]();
  }

  /** The host's ids of the container's root. */
  owner(idMaps: IdMaps | undefined = this.idMaps): Owner {
    return rootPair(idMaps);
  }

  /** Makes the home if it is not there, and finds out whether it can carry layers. */
  prepare(): OverlayFeatures {
    return this.features;
  }

  /** Makes a directory that another process may be making as well. */
  protected makeShared(path: string, mode: number, owner: Owner): void {
    try {
      makeOwnedDirectory(path, mode, owner);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
  }

  /** What overlayfs can do here. */
  get features(): OverlayFeatures {
    return this.#features ??= this.#probe();
  }

  #probe(): OverlayFeatures {
    const { home } = this.layout;
    try {
      // Also for who only reads: all layers may lie in image stores.
      if (!existsat(AT_FDCWD, home)) {
        makeDirectories(home.slice(0, home.lastIndexOf("/")) || "/", PARENTS_MODE);
        this.makeShared(home, this.homeMode, this.homeOwner());
      }
      this.#settings.checkHome?.(home);
      if (!this.isToBeWritten) {
        // For those who only look: found out elsewhere, and not noted, since the home may be writable the next time.
        return { ...this.mounter.probe(this.probeDir, this.kernelOptions), backingFileSystem: statfs(home).name };
      }
      return featuresOf(home, this.#runFile("features"), this.mounter, this.kernelOptions);
    } catch (error) {
      throw asStorageError(error, `Cannot keep overlay layers in ${home}`);
    }
  }

  /** The mounts of this home and their counts. */
  get mounts(): LayerMounts {
    return this.#mounts ??= new LayerMounts(this.#runDirectory("mounts"), this.mounter);
  }

  /** What is shown at places of the user's choice. The home is there. */
  get views(): ViewRecords {
    return this.#views ??= new ViewRecords(`${this.#namesInRunDir.path}/${VIEWS}`);
  }

  /** Where mounts are made that nobody else sees. */
  get asideDir(): string {
    return this.#runDirectory("aside");
  }

  /** Where it is tried what mounts can do, for a home that is not to be written. */
  get probeDir(): string {
    return this.#runDirectory("probe");
  }

  /** An empty directory, to lie below a layer that has nothing else below it: without an upper the kernel wants two. */
  get emptyDir(): string {
    return this.#runDirectory("empty");
  }

  #runDirectory(name: string): string {
    const directory = this.#runFile(name);
    makeRunDirectory(directory);
    return directory;
  }

  #runFile(name: string): string {
    const directory = this.#runDir;
    for (const path of [this.#settings.runRoot, directory]) {
      makeRunDirectory(path);
      requireOwnDirectory(path);
    }
    return `${directory}/${name}`;
  }

  /** What is in the directory of the run root that is this home's. */
  get #namesInRunDir(): DirectoryNames {
    if (this.#runNames !== undefined) return this.#runNames;
    const directory = this.#runDir;
    if (existsat(AT_FDCWD, directory)) {
      for (const path of [this.#settings.runRoot, directory]) requireOwnDirectory(path);
    }
    return this.#runNames = new DirectoryNames(directory);
  }

  /** Named by the home's own device and inode, so that each way to the same home leads to the same counts. */
  get #runDir(): string {
    const key = statat(AT_FDCWD, this.layout.home).fileKey.replaceAll(":", "-");
    return `${this.#settings.runRoot}/${this.driver}-${key}`;
  }

  /** Where the counts of the mounts lie, if there are any. */
  get countDir(): string {
    return `${this.#runDir}/mounts`;
  }

  /** What there is of it beside it at the moment. */
  beside(): Beside {
    const names = this.#namesInRunDir.read();
    return { hasViews: names.has(VIEWS), hasMounts: names.has(BESIDE) };
  }

  /** What `get` mounted for the layer. */
  mountState(id: string): MountState {
    return this.mounter.state(this.mountPoint(id));
  }

  /** Where the layer is mounted, or would be: in the store, but for what is mounted beside it. */
  mountPoint(id: string, { hasMounts }: Beside = this.beside()): string {
    if (!hasMounts) return this.layout.mergedDir(id);
    const beside = `${this.#namesInRunDir.path}/${BESIDE}/${id}`;
    return this.mounter.state(beside) === "none" ? this.layout.mergedDir(id) : beside;
  }

  /** Where to mount `overlay`, which shows the layer: beside a store that is not to be written, unless it is to be itself. */
  mountPointFor(id: string, overlay: OverlayMount, beside: Beside = this.beside()): string {
    const place = this.mountPoint(id, beside);
    if (overlay.upper !== undefined || this.isToBeWritten || this.mounter.state(place) !== "none") return place;
    return `${this.#runDirectory(BESIDE)}/${id}`;
  }

  /** @throws {StorageError} `store_read_only`. */
  requireWritable(id: string): void {
    if (!this.isReadOnly) return;
    throw new StorageError(
      "store_read_only",
      `Cannot mount layer "${id}" to be written in: ${this.layout.home} lies on a file system that is mounted read-only`,
      { hint: "mount it to be looked at: --read-only" },
    );
  }

  /** Whether nothing can be written in the home. */
  get isReadOnly(): boolean {
    return (statfs(this.layout.home).mountFlags & MS_RDONLY) !== 0;
  }

  /** Whether the home is ours, and can be written; who only looks at another one leaves no trace in it. */
  get isToBeWritten(): boolean {
    const { uid } = statat(AT_FDCWD, this.layout.home);
    return !this.isReadOnly && [geteuid(), this.homeOwner().uid].includes(uid);
  }

  /** @throws {StorageError} `layer_not_found`. */
  async lock(id: string): Promise<DirectoryLock> {
    const lock = await lockDirectory(this.layout.dir(id), "exclusive");
    if (lock === undefined) throw this.notFound(id);
    return lock;
  }

  /** @throws {StorageError} `layer_not_found`. */
  requireLayer(id: string): void {
    if (!this.layout.exists(id)) throw this.notFound(id);
  }

  notFound(id: string): StorageError {
    return new StorageError("layer_not_found", `There is no layer "${id}" in ${this.layout.home}`, {
      hint: "lamina ls lists the layers",
    });
  }

  /**
   * Makes sure that the layer has its content, and that none is on its way into it.
   *
   * @throws {StorageError} `layer_in_use` while an apply is at work, `store_damaged` after one was interrupted, or where
   * the content is missing.
   */
  requireWhole(id: string): void {
    this.requireContent(id);
    this.requireNoneOnItsWay(id);
  }

  /**
   * As {@linkcode requireWhole}, but for what a mount fails without.
   *
   * @throws {StorageError} `layer_in_use`, `store_damaged`.
   */
  requireMountable(id: string): void {
    this.requireWhole(id);
  }

  /** @throws {StorageError} `layer_in_use` while an apply is at work, `store_damaged` after one was interrupted. */
  protected requireNoneOnItsWay(id: string): void {
    const applying = this.layout.applyingDir(id);
    const lock = tryLockDirectory(applying, "shared");
    if (lock === undefined) return;
    if (lock === "busy") {
      throw new StorageError("layer_in_use", `Cannot use layer "${id}": a diff is being applied to it`);
    }
    lock[Symbol.dispose]();
    if (!this.layout.isHalfApplied(id)) return;
    throw new StorageError(
      "store_damaged",
      `Cannot use layer "${id}": applying a diff to it was interrupted, which left ${applying}`,
      { hint: `apply it again, or remove the layer: lamina rm ${id}` },
    );
  }
}

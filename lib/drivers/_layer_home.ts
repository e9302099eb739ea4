// SPDX-License-Identifier: Apache-2.0

/**
 * One home in use: its files, its mounts, its locks, and what the kernel can do there.
 *
 * @module
 */

import { AT_FDCWD, existsat } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import { getegid, geteuid } from "../../ffi/process.ts";
import { statat } from "../../ffi/stat.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { type IdMaps, rootPair } from "../id_map.ts";
import type { Logger } from "../log.ts";
import type { OverlayFeatures } from "../mount/overlay_features.ts";
import type { MountState } from "../mount/mount_program.ts";
import type { Mounter } from "../mount/mounter.ts";
import { type DirectoryLock, lockDirectory, tryLockDirectory } from "../util/directory_lock.ts";
import { makeDirectories, makeRunDirectory } from "../util/run_file.ts";
import { ChildIndex } from "./_child_index.ts";
import { type ContentRules, PLAIN } from "./_content_rules.ts";
import { featuresOf } from "./_features_cache.ts";
import type { DriverHome } from "./_driver_home.ts";
import { LayerMounts } from "./_layer_mounts.ts";
import type { LayerFormat } from "./_layer_format.ts";
import { type LayerLayout, LINK_DIR } from "./_layer_layout.ts";
import { LayerQuotas } from "./_layer_quotas.ts";
import { makeOwnedDirectory, type Owner } from "./_owner.ts";
import { ViewRecords } from "./_view_records.ts";
import { WorkerRunner, type WorkRunner } from "./_work_runner.ts";

const PARENTS_MODE = 0o755;

/** How a home is opened. */
export interface HomeSettings {
  home: string;
  runRoot: string;
  idMaps: IdMaps | undefined;
  /** Who mounts layers. */
  mounter: Mounter;
  logger: Logger;
  runner: WorkRunner;
  /** Called with the home before it is used, and may refuse it. */
  checkHome?: (home: string) => void;
}

/** What the methods of the driver share. */
export class LayerHome implements DriverHome {
  /** Where work runs whose input and output are descriptors. */
  readonly runner: WorkRunner;
  /** Who mounts layers. */
  readonly mounter: Mounter;
  readonly logger: Logger;
  readonly idMaps: IdMaps | undefined;
  /** The size limits of its layers. */
  readonly quotas: LayerQuotas;
  readonly #settings: HomeSettings;
  #workers: WorkRunner | undefined;
  #mounts: LayerMounts | undefined;
  #views: ViewRecords | undefined;
  #features: OverlayFeatures | undefined;
  #hasAskedForChildren = false;
  #children: ChildIndex | undefined;

  /**
   * @param kernelOptions Mount options of the driver by which the kernel's answers may change.
   * @param rules How owners and modes are kept.
   */
  constructor(
    settings: HomeSettings,
    readonly format: LayerFormat,
    readonly layout: LayerLayout,
    readonly kernelOptions: readonly string[] = [],
    readonly rules: ContentRules = PLAIN,
  ) {
    this.#settings = settings;
    this.runner = settings.runner;
    this.mounter = settings.mounter;
    this.logger = settings.logger;
    this.idMaps = settings.idMaps;
    this.quotas = new LayerQuotas(layout.home, settings.logger);
  }

  /** Where work runs whose other end is a stream, which this thread has to keep moving. */
  get workers(): WorkRunner {
    if (this.runner instanceof WorkerRunner) return this.runner;
    return this.#workers ??= new WorkerRunner();
  }

  /** Ends the Workers. */
  [Symbol.dispose](): void {
    this.runner[Symbol.dispose]();
    this.#workers?.[Symbol.dispose]();
    this.#children?.[Symbol.dispose]();
  }

  /** The host's ids of the container's root. */
  owner(idMaps: IdMaps | undefined = this.idMaps): Owner {
    return rootPair(idMaps);
  }

  /** Whom the directories around a layer's content belong to. */
  outerOwner(idMaps: IdMaps | undefined = this.idMaps): Owner {
    const ours = { uid: geteuid(), gid: getegid() };
    return idMaps === undefined ? ours : this.format.outerOwner(this.owner(idMaps), ours);
  }

  /** Makes the home if it is not there, and finds out whether it can carry layers. */
  prepare(): OverlayFeatures {
    const { home } = this.layout;
    if (!existsat(AT_FDCWD, `${home}/${LINK_DIR}`)) this.#make(home);
    return this.features;
  }

  #make(home: string): void {
    if (!existsat(AT_FDCWD, home)) this.#makeHome(home);
    // What cannot carry layers stays empty.
    void this.features;
    const ours = { uid: geteuid(), gid: getegid() };
    ignoreExisting(() => makeOwnedDirectory(`${home}/${LINK_DIR}`, this.format.linkDirMode, ours));
  }

  #makeHome(home: string): void {
    makeDirectories(home.slice(0, home.lastIndexOf("/")) || "/", PARENTS_MODE);
    ignoreExisting(() => makeOwnedDirectory(home, this.format.homeMode, this.outerOwner()));
  }

  /** What overlayfs can do here. */
  get features(): OverlayFeatures {
    if (this.#features === undefined) {
      const { home } = this.layout;
      // All layers may lie in image stores.
      if (!existsat(AT_FDCWD, home)) this.#makeHome(home);
      try {
        this.#settings.checkHome?.(home);
        this.#features = featuresOf(home, `${this.#runDir()}/features`, this.mounter, this.kernelOptions);
      } catch (error) {
        throw asStorageError(error, `Cannot keep overlay layers in ${home}`);
      }
    }
    return this.#features;
  }

  /** The mounts of this home and their counts. */
  get mounts(): LayerMounts {
    if (this.#mounts === undefined) {
      const countDir = `${this.#runDir()}/mounts`;
      makeRunDirectory(countDir);
      this.#mounts = new LayerMounts(countDir, this.mounter);
    }
    return this.#mounts;
  }

  /** What of this home is shown at places of the user's choice. */
  get views(): ViewRecords {
    return this.#views ??= new ViewRecords(`${this.#runDir()}/views`);
  }

  /** A layer that lies on `id`, if there is any. */
  findChildOf(id: string): string | undefined {
    const link = this.layout.shortName(id);
    // Who asks but once is better off without an index.
    if (link === undefined || !this.#hasAskedForChildren) {
      this.#hasAskedForChildren = true;
      return this.layout.findChildOf(id);
    }
    const child = (this.#children ??= ChildIndex.tryMake(this.layout))?.find(link);
    if (child !== null && this.#children !== undefined) return child;
    this.#children?.[Symbol.dispose]();
    this.#children = undefined;
    return this.layout.findChildOf(id);
  }

  /** What `get` mounted for the layer. */
  mountState(id: string): MountState {
    return this.mounter.state(this.layout.mergedDir(id));
  }

  /** Why the layer's own directory does not tell all that it changed; undefined if it does. */
  nativeDiffRefusal(id: string): string | undefined {
    return this.features.nativeDiffRefusal ?? this.layout.nativeDiffRefusal(id);
  }

  /** How owners and modes are kept of what mounts show: a mount program shows files as their attribute has them. */
  get shownRules(): ContentRules {
    return this.hasMarkers ? { ...this.rules, forceMask: undefined } : this.rules;
  }

  /** Whether deletions are files named `.wh.…` here, as mount programs have it. */
  get hasMarkers(): boolean {
    return this.features.whiteouts === "files";
  }

  /** Where mounts are made that nobody else sees. */
  get asideDir(): string {
    const asideDir = `${this.#runDir()}/aside`;
    makeRunDirectory(asideDir);
    return asideDir;
  }

  /** An empty directory, to lie below a layer that has nothing else below it. */
  get emptyDir(): string {
    const emptyDir = `${this.#runDir()}/empty`;
    makeRunDirectory(emptyDir);
    return emptyDir;
  }

  /** Named by the home's own device and inode, so that each way to the same home leads to the same counts. */
  #runDir(): string {
    const key = statat(AT_FDCWD, this.layout.home).fileKey.replaceAll(":", "-");
    const runDir = `${this.#settings.runRoot}/${this.format.driver}-${key}`;
    makeRunDirectory(runDir);
    return runDir;
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

  /** @throws {StorageError} `store_damaged`: the directory of the layer's content is missing. */
  requireContent(id: string): void {
    if (existsat(AT_FDCWD, `${this.layout.diffDir(id)}/.`)) return;
    throw new StorageError("store_damaged", `Cannot use layer "${id}": ${this.layout.diffDir(id)} is missing`);
  }

  /** @throws {StorageError} `store_damaged`: a directory that the layer is mounted from is missing. */
  requireDirectories(id: string): void {
    const missing = this.layout.missingDirectory(id);
    if (missing === undefined) return;
    throw new StorageError("store_damaged", `Cannot use layer "${id}": ${missing} is missing, or leads nowhere`);
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
   * the directory of the content is missing.
   */
  requireWhole(id: string): void {
    this.requireContent(id);
    const applying = this.layout.applyingDir(id);
    const lock = tryLockDirectory(applying, "shared");
    if (lock === undefined) return;
    if (lock === "busy") {
      throw new StorageError("layer_in_use", `Cannot use layer "${id}": a diff is being applied to it`);
    }
    lock[Symbol.dispose]();
    throw new StorageError("store_damaged", `Cannot use layer "${id}": applying a diff to it was interrupted`, {
      hint: `apply it again, or remove the layer: lamina rm ${id}`,
    });
  }
}

function ignoreExisting(make: () => void): void {
  try {
    make();
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * One home of Docker's legacy `overlay` in use: its files, its mounts, its locks, and what the kernel can do there.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, existsat } from "../../ffi/file.ts";
import { statfs } from "../../ffi/statfs.ts";
import { statat } from "../../ffi/stat.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { type IdMaps, rootPair } from "../id_map.ts";
import type { Logger } from "../log.ts";
import type { OverlayFeatures } from "../mount/overlay_features.ts";
import type { MountState } from "../mount/mount_program.ts";
import type { Mounter } from "../mount/mounter.ts";
import { type DirectoryLock, lockDirectory, tryLockDirectory } from "../util/directory_lock.ts";
import { makeDirectories, makeRunDirectory } from "../util/run_file.ts";
import { featuresOf } from "./_features_cache.ts";
import { LayerMounts } from "./_layer_mounts.ts";
import type { HomeSettings } from "./_layer_home.ts";
import { LegacyLayout } from "./_legacy_layout.ts";
import type { DriverHome } from "./_driver_home.ts";
import { makeOwnedDirectory, type Owner } from "./_owner.ts";
import { ViewRecords } from "./_view_records.ts";
import { WorkerRunner, type WorkRunner } from "./_work_runner.ts";

const PARENTS_MODE = 0o755;
const HOME_MODE = 0o755;

/** File systems that Docker's driver refuses, by the names that statfs gives them. */
const REFUSED: ReadonlySet<string> = new Set(["aufs", "btrfs", "ecryptfs", "nfs", "overlayfs", "zfs"]);

/** What the methods of the driver share. */
export class LegacyHome implements DriverHome {
  readonly layout: LegacyLayout;
  /** Where work runs whose input and output are descriptors. */
  readonly runner: WorkRunner;
  readonly logger: Logger;
  readonly idMaps: IdMaps | undefined;
  /** Who mounts layers. */
  readonly mounter: Mounter;
  readonly #runRoot: string;
  #workers: WorkRunner | undefined;
  #mounts: LayerMounts | undefined;
  #views: ViewRecords | undefined;
  #features: OverlayFeatures | undefined;

  constructor({ home, runRoot, idMaps, mounter, logger, runner }: HomeSettings) {
    this.layout = new LegacyLayout(home);
    this.runner = runner;
    this.logger = logger;
    this.idMaps = idMaps;
    this.mounter = mounter;
    this.#runRoot = runRoot;
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
  }

  /** The host's ids of the container's root, who owns all directories of a layer. */
  owner(idMaps: IdMaps | undefined = this.idMaps): Owner {
    return rootPair(idMaps);
  }

  /** Makes the home if it is not there, and finds out whether it can carry layers. */
  prepare(): OverlayFeatures {
    const { home } = this.layout;
    if (!existsat(AT_FDCWD, home)) {
      makeDirectories(home.slice(0, home.lastIndexOf("/")) || "/", PARENTS_MODE);
      try {
        makeOwnedDirectory(home, HOME_MODE, this.owner());
      } catch (error) {
        // Somebody else was faster.
        if (!isErrno(error, "EEXIST")) throw error;
      }
    }
    return this.features;
  }

  /** What overlayfs can do here. */
  get features(): OverlayFeatures {
    return this.#features ??= this.#probe();
  }

  #probe(): OverlayFeatures {
    const { home } = this.layout;
    try {
      const { name } = statfs(home);
      if (REFUSED.has(name)) {
        throw new StorageError(
          "incompatible_filesystem",
          `Cannot keep layers of the driver "overlay" in ${home}: its file system is ${name}, which Docker's driver refuses`,
          { hint: "use a directory on ext4, XFS or tmpfs, or the driver overlay2" },
        );
      }
      return featuresOf(home, `${this.runDir}/features`, this.mounter, []);
    } catch (error) {
      throw asStorageError(error, `Cannot keep overlay layers in ${home}`);
    }
  }

  /** The mounts of this home and their counts. */
  get mounts(): LayerMounts {
    if (this.#mounts === undefined) {
      const countDir = `${this.runDir}/mounts`;
      makeRunDirectory(countDir);
      this.#mounts = new LayerMounts(countDir, this.mounter);
    }
    return this.#mounts;
  }

  /** What of this home is shown at places of the user's choice. */
  get views(): ViewRecords {
    return this.#views ??= new ViewRecords(`${this.runDir}/views`);
  }

  /** What `get` mounted for the layer. */
  mountState(id: string): MountState {
    return this.mounter.state(this.layout.mergedDir(id));
  }

  /** An empty directory, to lie below an image that is mounted read-only: the kernel wants two. */
  get emptyDir(): string {
    const emptyDir = `${this.runDir}/empty`;
    makeRunDirectory(emptyDir);
    return emptyDir;
  }

  /** Where mounts are made that nobody else sees. */
  get asideDir(): string {
    const asideDir = `${this.runDir}/aside`;
    makeRunDirectory(asideDir);
    return asideDir;
  }

  /** Named by the home's own device and inode, so that each way to the same home leads to the same counts. */
  get runDir(): string {
    const key = statat(AT_FDCWD, this.layout.home).fileKey.replaceAll(":", "-");
    const runDir = `${this.#runRoot}/overlay-${key}`;
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

  notFound(id: string): StorageError {
    return new StorageError("layer_not_found", `There is no layer "${id}" in ${this.layout.home}`, {
      hint: "lamina ls lists the layers",
    });
  }

  /** @throws {StorageError} `store_damaged`: a directory of the layer, or of the image below it, is missing. */
  requireContent(id: string): void {
    const { layout } = this;
    const missing = layout.missingDirectory(id);
    if (missing === undefined) return;
    const why = missing.startsWith(`${layout.dir(id)}/`) ? "" : ` (${layout.lowerIdFile(id)} names it)`;
    throw new StorageError("store_damaged", `Cannot use layer "${id}": ${missing} is missing${why}`, {
      hint: `put it back, or remove the layer: lamina rm ${id}`,
    });
  }

  /** @throws {StorageError} `store_damaged`: a directory that the layer is mounted from is missing. */
  requireDirectories(id: string): void {
    this.requireContent(id);
  }

  /**
   * Makes sure that the layer has its content, and that none is on its way into it.
   *
   * @throws {StorageError} `layer_in_use` while an apply is at work, `store_damaged` after one was interrupted, or where
   * a file or directory of the layer is missing.
   */
  requireWhole(id: string): void {
    this.requireContent(id);
    const lock = tryLockDirectory(this.layout.applyingDir(id), "shared");
    if (lock === undefined) return;
    if (lock === "busy") {
      throw new StorageError("layer_in_use", `Cannot use layer "${id}": a diff is being applied to it`);
    }
    lock[Symbol.dispose]();
    if (!this.layout.isHalfApplied(id)) return;
    throw new StorageError(
      "store_damaged",
      `Cannot use layer "${id}": applying a diff to it was interrupted, which left ${this.layout.applyingDir(id)}`,
      { hint: `apply it again, or remove the layer: lamina rm ${id}` },
    );
  }
}

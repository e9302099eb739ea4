// SPDX-License-Identifier: Apache-2.0

/**
 * Size limits of layers. A layer with a limit has a project of its own, to which everything in its directory belongs: the
 * content, the kernel's scratch directory, and content that is being unpacked.
 *
 * Which project is whose stands on the directories themselves. A new one is chosen under the lock of the home, and no two
 * layers have the same, whichever process made them.
 *
 * @module
 */

import { DT_DIR, DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { statat } from "../../ffi/stat.ts";
import { statfs, XFS_SUPER_MAGIC } from "../../ffi/statfs.ts";
import { asStorageError, isStorageError, StorageError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { moveToProject, projectOf, projectOfOpen, ProjectQuotas } from "../mount/project_quota.ts";
import { formatSize } from "../units.ts";
import { lockDirectory } from "../util/directory_lock.ts";
import { textOf } from "../util/text.ts";
import type { LayerQuota } from "./driver.ts";

/** A home without a project of its own gets a range of ids by its inode, so that two homes on one file system differ. */
const IDS_PER_HOME = 1 << 16;
/** Ids below are what administrators give out by hand, and Docker; from 2^31 on some tools take them for negative. */
const FIRST_RANGE = 1;
const RANGES = 0x7fff - FIRST_RANGE;
/** 2^32 - 1 is no id for any kernel. */
const LAST_PROJECT = 0xfffffffe;

/** What is asked of the file system's quotas. */
export type KernelQuotas = Pick<ProjectQuotas, "requireEnforcement" | "usage" | "setLimit">;

/** The limits of the layers of one home. */
export class LayerQuotas {
  #kernelQuotas: KernelQuotas | undefined;

  /** @param kernel Left out, the quotas of the file system that the home lies on. */
  constructor(readonly home: string, readonly logger: Logger, kernel?: KernelQuotas) {
    this.#kernelQuotas = kernel;
  }

  get #kernel(): KernelQuotas {
    return this.#kernelQuotas ??= new ProjectQuotas(this.home);
  }

  /**
   * Limits the directory of a new layer, which is still empty, to `sizeBytes`.
   *
   * @returns What takes the limit away again, before the directory is removed.
   * @throws {StorageError} `not_supported`, `permission_denied`.
   */
  async limit(layerDir: string, sizeBytes: number): Promise<Disposable> {
    this.#kernel.requireEnforcement();
    const own = projectOf(this.home);
    if (own?.inherited === true) throw homeInherits(this.home);
    using _lock = await lockDirectory(this.home, "exclusive");
    const id = this.#freeProject(own?.id ?? 0);
    using undo = new DisposableStack();
    try {
      // The limit first: there must be no moment in which a layer has a project without one.
      this.#kernel.setLimit(id, sizeBytes);
      undo.defer(() => this.#kernel.setLimit(id, 0));
      moveToProject(layerDir, { id, inherited: true });
    } catch (error) {
      throw asStorageError(error, `Cannot limit the size of ${layerDir}`);
    }
    return undo.move();
  }

  /**
   * Takes the limit of a layer away that is about to be removed: only so its project can become another layer's. What
   * fails is told to the logger, since a layer without a limit can still be removed.
   *
   * @param fd The layer's directory, open.
   */
  async release(layerDir: string, fd: number): Promise<void> {
    try {
      const project = projectOfOpen(fd);
      if (project === undefined || project.id === 0) return;
      const own = projectOf(this.home);
      if (project.id === own?.id) return;
      using _lock = await lockDirectory(this.home, "exclusive");
      // Docker may have given one project to two layers.
      if (this.#projects(layerDir).has(project.id)) return;
      if (this.#kernel.usage(project.id) !== undefined) this.#kernel.setLimit(project.id, 0);
      // Into such a directory nothing is renamed that belongs to another project, and removing begins by a rename.
      if (own?.inherited === true) moveToProject(layerDir, own);
    } catch (error) {
      this.logger.warn(asStorageError(error, `Cannot take the size limit of ${layerDir} away`).message);
    }
  }

  /** The limit of a layer; undefined if it has no project of its own, or the kernel does not tell. */
  read(layerDir: string): LayerQuota | undefined {
    if (!layerDir.startsWith(`${this.home}/`)) return undefined;
    const project = projectOf(layerDir);
    if (project === undefined || project.id === 0 || project.id === projectOf(this.home)?.id) return undefined;
    const usage = this.#kernel.usage(project.id);
    return usage && { projectId: project.id, limitBytes: usage.limitBytes, usedBytes: usage.usedBytes };
  }

  /**
   * Makes sure that a layer takes no more than it may. On ext4 the limit stops nobody who has CAP_SYS_RESOURCE; overlayfs
   * writes without it, so that this is about what is written past the mount.
   *
   * @throws {StorageError} `quota_exceeded`.
   */
  requireWithin(layerDir: string): void {
    const quota = this.read(layerDir);
    if (quota === undefined || quota.limitBytes === 0 || quota.usedBytes <= quota.limitBytes) return;
    throw quotaExceeded(`Cannot keep ${formatSize(quota.usedBytes)} in ${layerDir}`, quota);
  }

  /** `error`, as `quota_exceeded` if it came of the layer's limit. To be asked when what was written is removed again. */
  explain(error: unknown, layerDir: string): unknown {
    if (!isStorageError(error, "no_space", "quota_exceeded")) return error;
    const quota = this.read(layerDir);
    if (quota === undefined || quota.limitBytes === 0) return error;
    if (error.code === "no_space" && !this.#isTighter(quota)) return error;
    return quotaExceeded(error.message, quota, error.cause);
  }

  /** XFS says of a project's limit what it says of a full disk. */
  #isTighter({ limitBytes, usedBytes }: LayerQuota): boolean {
    const { type, availableBytes } = statfs(this.home);
    return type === XFS_SUPER_MAGIC && limitBytes - usedBytes < availableBytes;
  }

  /** The first project that belongs to no layer, and of which the kernel knows neither files nor a limit. */
  #freeProject(own: number): number {
    const taken = this.#projects();
    const first = own === 0 ? rangeOf(this.home) : own;
    const last = Math.min(first + IDS_PER_HOME - 1, LAST_PROJECT);
    for (let id = first + 1; id <= last; id++) {
      if (taken.has(id)) continue;
      const usage = this.#kernel.usage(id);
      if (usage === undefined || (usage.usedInodes === 0 && usage.limitBytes === 0)) return id;
    }
    throw new StorageError(
      "limit_exceeded",
      `Cannot limit the size of a layer in ${this.home}: all projects are taken`,
    );
  }

  /** The projects of all directories in the home but one; among them are layers that are being made or removed. */
  #projects(but?: string): Set<number> {
    const projects = new Set<number>();
    using home = new Fd(openat(AT_FDCWD, this.home, O_RDONLY | O_DIRECTORY));
    const paths: string[] = [];
    readDirectory(home.fd, (buffer, start, end, type) => {
      if (type === DT_DIR || type === DT_UNKNOWN) paths.push(`${this.home}/${textOf(buffer.subarray(start, end))}`);
    });
    for (const path of paths) {
      if (path !== but) projects.add(projectOf(path)?.id ?? 0);
    }
    return projects;
  }
}

function quotaExceeded(message: string, { limitBytes }: LayerQuota, cause?: unknown): StorageError {
  return new StorageError("quota_exceeded", message, {
    cause,
    hint: `the layer may take ${formatSize(limitBytes)}: make it with a larger size`,
  });
}

function rangeOf(home: string): number {
  const { ino } = statat(AT_FDCWD, home);
  return (FIRST_RANGE + Number(ino % BigInt(RANGES))) * IDS_PER_HOME;
}

function homeInherits(home: string): StorageError {
  return new StorageError(
    "not_supported",
    `Cannot limit the size of layers in ${home}: the directory hands its own project on to all that is made in it`,
    { hint: `let it keep the project to itself: chattr -P ${home}` },
  );
}

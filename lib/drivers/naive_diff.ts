// SPDX-License-Identifier: Apache-2.0

/**
 * Diffs by looking: two mounted layers are walked in step and compared. This works between any two layers and on any file
 * system, and costs time that grows with both trees, not with what changed. Drivers use it where the layer's own
 * directory does not tell enough.
 *
 * @module
 */

import type { OverlayXattrNamespace } from "../archive/whiteout.ts";
import type { IdMaps } from "../id_map.ts";
import type { Logger } from "../log.ts";
import { diffWrittenBy, feed } from "./_archive_streams.ts";
import { type ContentRules, PLAIN, warnOfOwners } from "./_content_rules.ts";
import type { LayerPin } from "./_layer_pin.ts";
import type { TaskName, Tasks } from "./_work.ts";
import type { WorkRunner } from "./_work_runner.ts";
import type {
  ApplyOptions,
  ApplyResult,
  Change,
  CompareOptions,
  DiffOptions,
  DiffResult,
  FileDescriptor,
  WorkOptions,
} from "./driver.ts";

/** A layer's whole tree, to be read until this is disposed: usually a mount that was made for it. */
export interface SeenTree extends AsyncDisposable {
  readonly path: string;
  /** Tells whether the layer was there all the while. */
  readonly pin: LayerPin;
}

/**
 * New content of a layer, in the making: a tree that shows what the layers below show, and takes what is written. It
 * becomes the layer's by `commit`, as a whole; disposed before, nothing is left of it.
 */
export interface StagedTree extends AsyncDisposable {
  readonly path: string;
  /** Where the layer's own files lie meanwhile, in a driver that keeps them apart. */
  readonly contentDir: string | undefined;
  /** @param manifest Given where what is in it is to be written down: how that work is watched. */
  commit(manifest: WorkOptions | undefined): Promise<void>;
}

/** The driver, as seen from here. Both methods throw `StorageError`: `layer_not_found`, `layer_in_use`, and so on. */
export interface NaiveDiffHost {
  /**
   * Shows a layer. It is not counted as a user of the layer, and mounts below the layer's own are not shown.
   *
   * @param idMaps Those that files are seen under; without them, files have the owners that they have on disk.
   */
  see(id: string, idMaps: IdMaps | undefined): Promise<SeenTree>;
  /** Begins new content for an empty layer. */
  stage(id: string): Promise<StagedTree>;
  /** Where work runs whose input and output are descriptors. */
  readonly runner: WorkRunner;
  /** Where work runs whose other end is a stream. */
  readonly workers: WorkRunner;
  readonly idMaps: IdMaps | undefined;
  /** How owners and modes of the layers' files are kept; in their files, where it is left out. */
  readonly rules?: ContentRules;
  readonly overlayXattrs: OverlayXattrNamespace;
  /** The mode that the root of a new layer has; 0755 where it is left out. */
  readonly newRootMode?: number;
  readonly logger: Logger;
}

/** The verbs of a driver that ask for a difference. A parent that is undefined is nothing at all. */
export class NaiveDiff {
  constructor(readonly host: NaiveDiffHost) {}

  get #isMasked(): boolean {
    return (this.host.rules ?? PLAIN).forceMask !== undefined;
  }

  /** `diff` of a driver. */
  async diff(
    id: string,
    parent: string | undefined,
    options: DiffOptions,
  ): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const trees = await this.#see(id, parent, options);
    return await diffWrittenBy(
      async (archiveFd, signal) => {
        await using _trees = trees;
        return await this.#pack(trees, archiveFd, { ...options, signal }, this.host.workers);
      },
      options,
      this.host.logger,
    );
  }

  /** `diffTo` of a driver. */
  async diffTo(
    id: string,
    parent: string | undefined,
    output: FileDescriptor,
    options: DiffOptions,
  ): Promise<DiffResult> {
    await using trees = await this.#see(id, parent, options);
    return await this.#pack(trees, output.fd, options, this.host.runner);
  }

  #pack(trees: SeenTrees, archiveFd: number, options: DiffOptions, runner: WorkRunner): Promise<DiffResult> {
    const { compression, digest, skipErrors, times, xattrs, compareContent: content } = options;
    return whole(
      trees,
      runner.run("packChanges", {
        ...pathsOf(trees),
        archiveFd,
        overlayXattrs: this.host.overlayXattrs,
        idMaps: options.idMaps ?? this.host.idMaps,
        overrideStat: this.#isMasked,
        newRootMode: this.host.newRootMode,
        compression,
        digest,
        skipErrors,
        times,
        xattrs,
        content,
      }, options),
    );
  }

  /** `changes` of a driver. */
  async changes(id: string, parent: string | undefined, options: CompareOptions): Promise<Change[]> {
    return await this.#compare("compare", id, parent, options);
  }

  /** `diffSize` of a driver: bytes of what is added or modified and no directory, hard links once. */
  async diffSize(id: string, parent: string | undefined, options: CompareOptions): Promise<number> {
    return await this.#compare("changedSize", id, parent, options);
  }

  async #compare<N extends TaskName & ("compare" | "changedSize")>(
    task: N,
    id: string,
    parent: string | undefined,
    options: CompareOptions,
  ): Promise<Tasks[N]["result"]> {
    await using trees = await this.#see(id, parent, options);
    const { compareXattrs: xattrs, compareContent: content, details } = options;
    const { overlayXattrs } = this.host;
    const args = { ...pathsOf(trees), overlayXattrs, overrideStat: this.#isMasked, xattrs, content, details };
    return await whole(trees, this.host.runner.run(task, args, options));
  }

  /** `applyDiff` of a driver, all or nothing. */
  async applyDiff(
    id: string,
    diff: ReadableStream<Uint8Array> | FileDescriptor,
    { xattrs, limits, devices, allowMissingEnd, digest, manifest, ...work }: ApplyOptions,
  ): Promise<ApplyResult> {
    const { host } = this;
    await using staged = await host.stage(id);
    // A pipe is filled by this thread, so another one must empty it.
    const runner = diff instanceof ReadableStream ? host.workers : host.runner;
    const result = await feed(diff, work, (archiveFd) =>
      runner.run("unpack", {
        archiveFd,
        directory: staged.path,
        target: "merged",
        overlayXattrs: host.overlayXattrs,
        idMaps: host.idMaps,
        ...host.rules,
        xattrs,
        limits,
        devices,
        allowMissingEnd,
        digest,
      }, work));
    const { contentDir } = staged;
    // Entries that replace one another, and files that a link copied up, make the sum of the entries another one.
    const sizeBytes = contentDir === undefined
      ? result.sizeBytes
      : await host.runner.run("size", { directory: contentDir }, work);
    await staged.commit(manifest ? work : undefined);
    warnOfOwners(id, result, host.logger);
    return { ...result, sizeBytes };
  }

  async #see(id: string, parent: string | undefined, { idMaps }: CompareOptions): Promise<SeenTrees> {
    await using undo = new AsyncDisposableStack();
    const newer = undo.use(await this.host.see(id, idMaps));
    const older = parent === undefined ? undefined : undo.use(await this.host.see(parent, idMaps));
    const both = undo.move();
    return { newer, older, [Symbol.asyncDispose]: () => both.disposeAsync() };
  }
}

/** The two sides of a comparison. */
interface SeenTrees extends AsyncDisposable {
  newer: SeenTree;
  older: SeenTree | undefined;
}

/** What `work` made of two layers that were there to its end. */
async function whole<T>({ newer, older }: SeenTrees, work: Promise<T>): Promise<T> {
  const result = newer.pin.whole(work);
  return await (older === undefined ? result : older.pin.whole(result));
}

function pathsOf({ newer, older }: SeenTrees): { newer: string; older: string | undefined } {
  return { newer: newer.path, older: older?.path };
}

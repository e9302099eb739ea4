// SPDX-License-Identifier: Apache-2.0

/**
 * What is in a layer: diff, apply, changes and size. Where the layer is compared with its own parent, its own directory is
 * enough (the *native* diff); for all else both layers are mounted and compared.
 *
 * @module
 */

import { asStorageError, StorageError } from "../errors.ts";
import { overlayXattrs } from "../mount/overlay_features.ts";
import { diffWrittenBy, feed } from "./_archive_streams.ts";
import { warnOfOwners } from "./_content_rules.ts";
import { parentToCompare, requireOwnParent } from "./_graph_driver.ts";
import { beginLayerApply, finishApply, giveUpApply } from "./_layer_apply.ts";
import type { LayerHome } from "./_layer_home.ts";
import { LayerPin } from "./_layer_pin.ts";
import { naiveDiffHost, type OverlayOf } from "./_layer_trees.ts";
import type { WorkRunner } from "./_work_runner.ts";
import type {
  ApplyOptions,
  ApplyResult,
  Change,
  CompareOptions,
  DiffOptions,
  DiffResult,
  FileDescriptor,
} from "./driver.ts";
import { NaiveDiff } from "./naive_diff.ts";

/** The contents of a home's layers. The methods are those of the interface. */
export class LayerContent {
  readonly #home: LayerHome;
  /** How layers are compared where their own directories do not tell enough. */
  readonly #naiveDiff: NaiveDiff;

  constructor(home: LayerHome, overlayOf: OverlayOf) {
    this.#home = home;
    this.#naiveDiff = new NaiveDiff(naiveDiffHost(home, overlayOf));
  }

  async diff(id: string, options: DiffOptions): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const home = this.#home;
    const base = baseOf(home, id, options.parent);
    if (base !== "native") return await this.#naiveDiff.diff(id, base.parent, options);
    return await diffWrittenBy(
      (archiveFd, signal) => packTo(home, id, archiveFd, { ...options, signal }, home.workers),
      options,
      home.logger,
    );
  }

  async diffTo(id: string, output: FileDescriptor, options: DiffOptions): Promise<DiffResult> {
    const home = this.#home;
    const base = baseOf(home, id, options.parent);
    if (base !== "native") return await this.#naiveDiff.diffTo(id, base.parent, output, options);
    return await packTo(home, id, output.fd, options, home.runner);
  }

  async changes(id: string, options: CompareOptions): Promise<Change[]> {
    const home = this.#home;
    const base = baseOf(home, id, options.parent);
    if (base !== "native") return await this.#naiveDiff.changes(id, base.parent, options);
    using pin = new LayerPin(home.layout, id);
    return await pin.whole(home.runner.run("changes", {
      upperDir: home.layout.diffDir(id),
      lowerDirs: home.layout.lowerDirs(id),
      overlayXattrs: overlayXattrs(home.features),
      overrideStat: home.rules.forceMask !== undefined,
      markers: home.hasMarkers,
      xattrs: options.compareXattrs,
      content: options.compareContent,
      idMaps: options.idMaps,
    }, options));
  }

  async diffSize(id: string, options: CompareOptions): Promise<number> {
    const home = this.#home;
    const base = baseOf(home, id, options.parent);
    if (base !== "native") return await this.#naiveDiff.diffSize(id, base.parent, options);
    using pin = new LayerPin(home.layout, id);
    return await pin.whole(home.runner.run("size", { directory: home.layout.diffDir(id) }, options));
  }

  async applyDiff(
    id: string,
    diff: ReadableStream<Uint8Array> | FileDescriptor,
    options: ApplyOptions,
  ): Promise<ApplyResult> {
    const home = this.#home;
    const { parent, xattrs, limits, devices, allowMissingEnd, digest, ...work } = options;
    requireOwnParent(home, id, parent);
    home.requireContent(id);
    const refusal = home.layout.nativeDiffRefusal(id);
    if (refusal !== undefined) {
      throw new StorageError("layer_not_empty", `Cannot apply a diff to layer "${id}": ${refusal}`, {
        hint: "make a new layer for it",
      });
    }
    if (home.features.nativeDiffRefusal !== undefined) return await this.#naiveDiff.applyDiff(id, diff, options);
    const { layout } = home;
    using _applying = await beginLayerApply(home, id);
    try {
      // A pipe is filled by this thread, so another one must empty it.
      const runner = diff instanceof ReadableStream ? home.workers : home.runner;
      const result = await feed(diff, work, (archiveFd) =>
        runner.run("unpack", {
          archiveFd,
          directory: layout.applyingDir(id),
          target: home.hasMarkers ? "marked" : "upper",
          overlayXattrs: overlayXattrs(home.features),
          idMaps: home.idMaps,
          lowerDirs: layout.lowerDirs(id),
          ...home.rules,
          xattrs,
          limits,
          devices,
          allowMissingEnd,
          digest,
        }, work));
      await finishApply(home, id);
      warnOfOwners(id, result, home.logger);
      return result;
    } catch (error) {
      await giveUpApply(home, id);
      throw asStorageError(error, `Cannot apply a diff to layer "${id}"`);
    }
  }
}

async function packTo(
  home: LayerHome,
  id: string,
  archiveFd: number,
  { compression, digest, idMaps = home.idMaps, skipErrors, times, xattrs, ...work }: DiffOptions,
  runner: WorkRunner,
): Promise<DiffResult> {
  using pin = new LayerPin(home.layout, id);
  return await pin.whole(runner.run("pack", {
    directory: home.layout.diffDir(id),
    archiveFd,
    overlayXattrs: overlayXattrs(home.features),
    idMaps,
    lowerDirs: home.layout.lowerDirs(id),
    markers: home.hasMarkers,
    newRootMode: home.format.baseDiffMode,
    overrideStat: home.rules.forceMask !== undefined,
    compression,
    digest,
    skipErrors,
    times,
    xattrs,
  }, work));
}

/**
 * How the layer is compared: by its own directory, or with the tree of another layer, or with nothing at all.
 *
 * @throws {StorageError} `layer_not_found`, or that the layer cannot be read.
 */
function baseOf(
  home: LayerHome,
  id: string,
  parent: string | null | undefined,
): "native" | { parent: string | undefined } {
  const base = parentToCompare(home, id, parent);
  home.requireWhole(id);
  if (base !== home.layout.parentOf(id) || home.nativeDiffRefusal(id) !== undefined) return { parent: base };
  home.mounter.settle(home.layout.mergedDir(id));
  return "native";
}

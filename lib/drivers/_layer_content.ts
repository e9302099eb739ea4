// SPDX-License-Identifier: Apache-2.0

/**
 * What is in a layer: diff, apply, changes and size. Where the layer is compared with its own parent, its own directory is
 * enough (the *native* diff); for all else both layers are mounted and compared.
 *
 * @module
 */

import { asStorageError, isStorageError, StorageError } from "../errors.ts";
import { overlayXattrs } from "../mount/overlay_features.ts";
import { diffWrittenBy, feed } from "./_archive_streams.ts";
import { warnOfOwners } from "./_content_rules.ts";
import { parentToCompare, requireOwnParent } from "./_graph_driver.ts";
import { beginLayerApply, finishApply, giveUpApply } from "./_layer_apply.ts";
import type { LayerHome } from "./_layer_home.ts";
import { stageManifest } from "./_layer_manifest.ts";
import { LayerPin } from "./_layer_pin.ts";
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
import { naiveDiffHost, type OverlayOf } from "./_layer_trees.ts";
import { NaiveDiff } from "./naive_diff.ts";

/** The layers of a home, and how they are compared where their own directories do not tell enough. */
export interface Layers {
  readonly home: LayerHome;
  readonly naiveDiff: NaiveDiff;
}

/** @param overlayOf What is mounted to see a layer whole. */
export function layersOf(home: LayerHome, overlayOf: OverlayOf): Layers {
  return { home, naiveDiff: new NaiveDiff(naiveDiffHost(home, overlayOf)) };
}

/** `diff` of the interface. */
export async function diffStream(
  { home, naiveDiff }: Layers,
  id: string,
  options: DiffOptions,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const base = baseOfDiff(home, id, options);
  if (base !== "native") return await naiveDiff.diff(id, base.parent, options);
  return await diffWrittenBy(
    (archiveFd, signal) => packTo(home, id, archiveFd, { ...options, signal }, home.workers),
    options,
    home.logger,
  );
}

/** `diffTo` of the interface. */
export async function diffTo(
  { home, naiveDiff }: Layers,
  id: string,
  output: FileDescriptor,
  options: DiffOptions,
): Promise<DiffResult> {
  const base = baseOfDiff(home, id, options);
  if (base !== "native") return await naiveDiff.diffTo(id, base.parent, output, options);
  return await packTo(home, id, output.fd, options, home.runner);
}

async function packTo(
  home: LayerHome,
  id: string,
  archiveFd: number,
  { compression, digest, idMaps = home.idMaps, skipErrors, times, xattrs, ...work }: DiffOptions,
  runner: WorkRunner,
): Promise<DiffResult> {
  return await reading(home, id, () =>
    runner.run("pack", {
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
 * What `read` makes of the layer.
 *
 * @throws {StorageError} `layer_not_found`: it was removed meanwhile; `store_damaged`: a directory is missing that it needs.
 */
async function reading<T>(home: LayerHome, id: string, read: () => Promise<T>): Promise<T> {
  using pin = new LayerPin(home.layout, id);
  try {
    return await pin.whole(read());
  } catch (error) {
    const isExplained = isStorageError(error) && error.code !== "system_error";
    if (!isExplained) home.requireDirectories(id);
    throw error;
  }
}

/** `changes` of the interface. */
export async function changesOf({ home, naiveDiff }: Layers, id: string, options: CompareOptions): Promise<Change[]> {
  const base = baseOf(home, id, options.parent);
  if (base !== "native") return await naiveDiff.changes(id, base.parent, options);
  return await reading(home, id, () =>
    home.runner.run("changes", {
      upperDir: home.layout.diffDir(id),
      lowerDirs: home.layout.lowerDirs(id),
      overlayXattrs: overlayXattrs(home.features),
      overrideStat: home.rules.forceMask !== undefined,
      markers: home.hasMarkers,
      xattrs: options.compareXattrs,
      content: options.compareContent,
      details: options.details,
      idMaps: options.idMaps,
    }, options));
}

/** `diffSize` of the interface. */
export async function sizeOf({ home, naiveDiff }: Layers, id: string, options: CompareOptions): Promise<number> {
  const base = baseOf(home, id, options.parent);
  if (base !== "native") return await naiveDiff.diffSize(id, base.parent, options);
  return await reading(home, id, () => home.runner.run("size", { directory: home.layout.diffDir(id) }, options));
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
  home.mounter.settle(home.mountPoint(id));
  return "native";
}

/** As {@linkcode baseOf}. A base layer's own directory may hold whiteouts, which a whole root file system has none of. */
function baseOfDiff(home: LayerHome, id: string, { parent, whole }: DiffOptions): ReturnType<typeof baseOf> {
  const base = baseOf(home, id, whole ? null : parent);
  return whole ? { parent: undefined } : base;
}

/** `applyDiff` of the interface. */
export async function applyDiff(
  { home, naiveDiff }: Layers,
  id: string,
  diff: ReadableStream<Uint8Array> | FileDescriptor,
  options: ApplyOptions,
): Promise<ApplyResult> {
  const { parent, xattrs, limits, devices, allowMissingEnd, digest, manifest, ...work } = options;
  requireOwnParent(home, id, parent);
  home.requireContent(id);
  const refusal = home.layout.nativeDiffRefusal(id);
  if (refusal !== undefined) {
    throw new StorageError("layer_not_empty", `Cannot apply a diff to layer "${id}": ${refusal}`, {
      hint: "make a new layer for it",
    });
  }
  if (home.features.nativeDiffRefusal !== undefined) return await naiveDiff.applyDiff(id, diff, options);
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
    using written = manifest ? await stageManifest(home, id, layout.applyingDir(id), work) : undefined;
    await finishApply(home, id, written);
    warnOfOwners(id, result, home.logger);
    return result;
  } catch (error) {
    await giveUpApply(home, id);
    throw asStorageError(error, `Cannot apply a diff to layer "${id}"`);
  }
}

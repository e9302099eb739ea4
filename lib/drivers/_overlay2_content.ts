// SPDX-License-Identifier: Apache-2.0

/**
 * What is in a layer of `overlay2`: diff, apply, changes and size. Where the layer is compared with its own parent, its
 * own directory is enough (the *native* diff); for all else both layers are mounted and compared.
 *
 * @module
 */

import { asStorageError, StorageError } from "../errors.ts";
import { parseLayerId } from "../layer_id.ts";
import { overlayXattrs } from "../mount/overlay_features.ts";
import { feed, streamWrittenBy } from "./_archive_streams.ts";
import { beginApply, finishApply, giveUpApply } from "./_overlay2_apply.ts";
import type { Overlay2Home } from "./_overlay2_home.ts";
import { naiveDiffHost } from "./_overlay2_trees.ts";
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

/** `diff` of the interface. */
export async function diffStream(
  home: Overlay2Home,
  id: string,
  options: DiffOptions,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const base = baseOf(home, id, options.parent);
  if (base !== "native") return await naiveDiff(home).diff(id, base.parent, options);
  return await streamWrittenBy(
    (archiveFd, signal) => packTo(home, id, archiveFd, { ...options, signal }, home.workers),
    options,
    home.logger,
  );
}

/** `diffTo` of the interface. */
export async function diffTo(
  home: Overlay2Home,
  id: string,
  output: FileDescriptor,
  options: DiffOptions,
): Promise<DiffResult> {
  const base = baseOf(home, id, options.parent);
  if (base !== "native") return await naiveDiff(home).diffTo(id, base.parent, output, options);
  return await packTo(home, id, output.fd, options, home.runner);
}

function packTo(
  home: Overlay2Home,
  id: string,
  archiveFd: number,
  { compression, digest, skipErrors, times, xattrs, ...work }: DiffOptions,
  runner: WorkRunner,
): Promise<DiffResult> {
  return runner.run("pack", {
    directory: home.layout.diffDir(id),
    archiveFd,
    overlayXattrs: overlayXattrs(home.features),
    idMaps: home.idMaps,
    lowerDirs: home.layout.lowerDirs(id),
    compression,
    digest,
    skipErrors,
    times,
    xattrs,
  }, work);
}

/** `changes` of the interface. */
export async function changesOf(home: Overlay2Home, id: string, options: CompareOptions): Promise<Change[]> {
  const base = baseOf(home, id, options.parent);
  if (base !== "native") return await naiveDiff(home).changes(id, base.parent, options);
  return await home.runner.run("changes", {
    upperDir: home.layout.diffDir(id),
    lowerDirs: home.layout.lowerDirs(id),
    overlayXattrs: overlayXattrs(home.features),
    xattrs: options.compareXattrs,
    content: options.compareContent,
  }, options);
}

/** `diffSize` of the interface. */
export async function sizeOf(home: Overlay2Home, id: string, options: CompareOptions): Promise<number> {
  const base = baseOf(home, id, options.parent);
  if (base !== "native") return await naiveDiff(home).diffSize(id, base.parent, options);
  return await home.runner.run("size", { directory: home.layout.diffDir(id) }, options);
}

/**
 * How the layer is compared: by its own directory, or with the tree of another layer, or with nothing at all.
 *
 * @throws {StorageError} `layer_not_found`, or that the layer cannot be read.
 */
function baseOf(
  home: Overlay2Home,
  id: string,
  parent: string | null | undefined,
): "native" | { parent: string | undefined } {
  home.requireLayer(id);
  const own = home.layout.parentOf(id);
  const base = parent === undefined ? own : parent === null ? undefined : parseLayerId(parent);
  home.requireWhole(id);
  return base === own && home.features.nativeDiffRefusal === undefined ? "native" : { parent: base };
}

function naiveDiff(home: Overlay2Home): NaiveDiff {
  return new NaiveDiff(naiveDiffHost(home));
}

/** `applyDiff` of the interface. */
export async function applyDiff(
  home: Overlay2Home,
  id: string,
  diff: ReadableStream<Uint8Array> | FileDescriptor,
  options: ApplyOptions,
): Promise<ApplyResult> {
  const { parent, xattrs, limits, devices, allowMissingEnd, digest, ...work } = options;
  requireOwnParent(home, id, parent);
  home.requireContent(id);
  if (home.features.nativeDiffRefusal !== undefined) return await naiveDiff(home).applyDiff(id, diff, options);
  const { layout } = home;
  using _applying = await beginApply(home, id);
  try {
    // A pipe is filled by this thread, so another one must empty it.
    const runner = diff instanceof ReadableStream ? home.workers : home.runner;
    const result = await feed(diff, work, (archiveFd) =>
      runner.run("unpack", {
        archiveFd,
        directory: layout.applyingDir(id),
        overlayXattrs: overlayXattrs(home.features),
        idMaps: home.idMaps,
        lowerDirs: layout.lowerDirs(id),
        xattrs,
        limits,
        devices,
        allowMissingEnd,
        digest,
      }, work));
    await finishApply(home, id);
    return result;
  } catch (error) {
    await giveUpApply(home, id);
    throw asStorageError(error, `Cannot apply a diff to layer "${id}"`);
  }
}

function requireOwnParent(home: Overlay2Home, id: string, parent: string | null | undefined): void {
  home.requireLayer(id);
  const own = home.layout.parentOf(id);
  if (parent === undefined || (parent ?? undefined) === own) return;
  const base = parent === null ? "nothing" : `"${parent}"`;
  throw new StorageError("not_supported", `Cannot apply a diff to layer "${id}" over ${base}: that is not its parent`, {
    hint: own === undefined
      ? `"${id}" has no parent: leave --parent out`
      : `its parent is "${own}": leave --parent out`,
  });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What is in a layer of `overlay2`: diff, apply, changes and size, taken from the layer's own directory. That is enough
 * where the layer is compared with its own parent.
 *
 * @module
 */

import { AT_FDCWD, close, Fd, O_DIRECTORY, O_RDONLY, openat, renameat2 } from "../../ffi/file.ts";
import { readDirectory } from "../../ffi/directory.ts";
import { statat } from "../../ffi/stat.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { overlayXattrs } from "../mount/overlay_features.ts";
import { isOverlayMounted } from "../mount/unmount.ts";
import { tryLockDirectory } from "../util/directory_lock.ts";
import { isSourceFailure, pipeFromStream, pipeToStream, pump, streamOf } from "../util/pipe_stream.ts";
import type { Overlay2Home } from "./_overlay2_home.ts";
import { makeOwnedDirectory } from "./_owner.ts";
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

/** `diff` of the interface. */
export async function diffStream(
  home: Overlay2Home,
  id: string,
  options: DiffOptions,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  requireReadable(home, id, options.parent);
  const { writeFd, reader } = await pipeToStream();
  const abort = new AbortController();
  const signal = options.signal === undefined ? abort.signal : AbortSignal.any([abort.signal, options.signal]);
  // The writing end closes with the work: that is the end the reader sees.
  const work = packTo(home, id, writeFd, { ...options, signal }, home.workers).finally(() => close(writeFd));
  // A stream has no place for them: who wants them as data takes diffTo.
  work.then(({ skipped }) => {
    for (const { path, reason } of skipped) home.logger.warn(`left out ${path}: ${reason}`);
  }, () => {});
  return streamOf(reader, work, () => abort.abort());
}

/** `diffTo` of the interface. */
export async function diffTo(
  home: Overlay2Home,
  id: string,
  output: FileDescriptor,
  options: DiffOptions,
): Promise<DiffResult> {
  requireReadable(home, id, options.parent);
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
export async function changesOf(
  home: Overlay2Home,
  id: string,
  { parent, ...work }: CompareOptions,
): Promise<Change[]> {
  requireReadable(home, id, parent);
  return await home.runner.run("changes", {
    upperDir: home.layout.diffDir(id),
    lowerDirs: home.layout.lowerDirs(id),
    overlayXattrs: overlayXattrs(home.features),
  }, work);
}

/** `diffSize` of the interface. */
export async function sizeOf(home: Overlay2Home, id: string, { parent, ...work }: CompareOptions): Promise<number> {
  requireReadable(home, id, parent);
  return await home.runner.run("size", { directory: home.layout.diffDir(id) }, work);
}

/** What reading a layer needs: all of it, and no more than its own directory tells. */
function requireReadable(home: Overlay2Home, id: string, parent: string | null | undefined): void {
  requireNative(home, id, parent);
  home.requireWhole(id);
}

/** @throws {StorageError} `layer_not_found`; `not_supported` where the layer's own directory does not tell enough. */
function requireNative(home: Overlay2Home, id: string, parent: string | null | undefined): void {
  home.requireLayer(id);
  const own = home.layout.parentOf(id);
  if (parent !== undefined && (parent ?? undefined) !== own) {
    const base = parent === null ? "nothing" : `"${parent}"`;
    throw new StorageError("not_supported", `Cannot compare layer "${id}" with ${base}: that is not its parent`, {
      hint: own === undefined
        ? `"${id}" has no parent: leave --parent out`
        : `its parent is "${own}": leave --parent out`,
    });
  }
  const refusal = home.features.nativeDiffRefusal;
  if (refusal !== undefined) {
    throw new StorageError("not_supported", `Cannot tell what layer "${id}" changed: ${refusal}`);
  }
}

/** `applyDiff` of the interface. */
export async function applyDiff(
  home: Overlay2Home,
  id: string,
  diff: ReadableStream<Uint8Array> | FileDescriptor,
  { parent, xattrs, limits, devices, allowMissingEnd, digest, ...work }: ApplyOptions,
): Promise<ApplyResult> {
  requireNative(home, id, parent);
  home.requireContent(id);
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
    await home.runner.run("remove", { directory: layout.dir(id), name: APPLYING }).catch((failure) =>
      home.logger.warn(`cannot clear ${layout.applyingDir(id)} away: ${failure.message}`)
    );
    throw asStorageError(error, `Cannot apply a diff to layer "${id}"`);
  }
}

const APPLYING = ".lamina-applying";

/**
 * Makes the directory that is filled, and returns its lock. The layer's own lock is held only meanwhile: an archive may
 * come slowly, and nobody should have to wait for it.
 */
async function beginApply(home: Overlay2Home, id: string): Promise<Disposable> {
  const { layout } = home;
  const path = layout.applyingDir(id);
  using _lock = await home.lock(id);
  requireEmpty(home, id);
  const left = tryLockDirectory(path, "exclusive");
  if (left === "busy") {
    throw new StorageError("layer_in_use", `Cannot apply a diff to layer "${id}": another one is being applied`);
  }
  if (left !== undefined) {
    left[Symbol.dispose]();
    home.logger.info(`clearing away an apply to layer "${id}" that was interrupted`);
    await home.runner.run("remove", { directory: layout.dir(id), name: APPLYING });
  }
  const root = statat(AT_FDCWD, layout.diffDir(id));
  makeOwnedDirectory(path, root.mode & 0o7777, root);
  const lock = tryLockDirectory(path, "exclusive");
  if (lock === undefined || lock === "busy") {
    throw new StorageError("layer_in_use", `Cannot apply a diff to layer "${id}": ${path} is locked by somebody else`);
  }
  return lock;
}

/** Puts the whole content in place. */
async function finishApply(home: Overlay2Home, id: string): Promise<void> {
  using _lock = await home.lock(id);
  requireEmpty(home, id);
  // rename(2) replaces an empty directory in one step, and no other.
  renameat2(AT_FDCWD, home.layout.applyingDir(id), AT_FDCWD, home.layout.diffDir(id));
}

function requireEmpty(home: Overlay2Home, id: string): void {
  if (isOverlayMounted(home.layout.mergedDir(id))) {
    throw new StorageError("layer_in_use", `Cannot apply a diff to layer "${id}": it is mounted`);
  }
  using directory = new Fd(openat(AT_FDCWD, home.layout.diffDir(id), O_RDONLY | O_DIRECTORY));
  let isEmpty = true;
  readDirectory(directory.fd, () => isEmpty = false);
  if (isEmpty) return;
  throw new StorageError("layer_not_empty", `Cannot apply a diff to layer "${id}": it has content already`, {
    hint: "make a new layer for it",
  });
}

/** Gives `diff` to `use` as a descriptor. A stream goes through a pipe, whose other end is filled meanwhile. */
async function feed<T>(
  diff: ReadableStream<Uint8Array> | FileDescriptor,
  { signal }: WorkOptions,
  use: (archiveFd: number) => Promise<T>,
): Promise<T> {
  if (!(diff instanceof ReadableStream)) return await use(diff.fd);
  const { readFd, writer } = await pipeFromStream();
  const stop = new AbortController();
  const stopSignal = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]);
  const fed = pump(diff, writer, stopSignal).then(() => undefined, (error: unknown) => error);
  let result: T;
  try {
    result = await use(readFd);
  } catch (error) {
    stop.abort();
    close(readFd);
    const pumpError = await fed;
    if (signal?.aborted) throw new StorageError("aborted", "The operation was aborted", { cause: error });
    // A source that fails ends the archive early; its own error says more than "cut short".
    throw isSourceFailure(pumpError) ? pumpError : error;
  }
  close(readFd);
  await fed;
  return result;
}

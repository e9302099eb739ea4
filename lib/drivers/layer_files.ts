// SPDX-License-Identifier: Apache-2.0

/**
 * Files that are copied out of layers and into them, through their mounts. The rules are those of `docker cp`, but for owners
 * and attributes, which stay as they are. With the driver of an agent it takes a process that sees the agent's mounts.
 *
 * @module
 */

import { close, pipe2 } from "../../ffi/file.ts";
import { MS_RDONLY } from "../../ffi/mount.ts";
import { statfs } from "../../ffi/statfs.ts";
import type { PackedPart } from "../archive/pack_options.ts";
import { asStorageError, isStorageError, StorageError } from "../errors.ts";
import { pathOf } from "../mount/mount_aside.ts";
import { CopyPlaces, type CopySource, type CopyTarget } from "./_copy_places.ts";
import type { Tasks } from "./_work.ts";
import { WorkerRunner } from "./_work_runner.ts";
import type { DroppedXattr, FileDescriptor, GraphDriver, MountedLayer, WorkOptions, XattrPolicies } from "./driver.ts";

/** What was copied. */
export interface CopyResult {
  /** Files, directories and other names. */
  entries: number;
  /** Bytes of the archive as which they went. */
  bytes: number;
  /** Paths of sockets, which stay behind. */
  skippedSockets: string[];
  /** Extended attributes that were left out, and why. */
  droppedXattrs: DroppedXattr[];
}

/** Not every directory of a host keeps every attribute that a layer does. */
const LENIENT: XattrPolicies = {
  user: "best-effort",
  trusted: "best-effort",
  security: "best-effort",
  system: "best-effort",
};

/**
 * Copies a file, or a directory with what is in it, out of the layer `id`.
 *
 * `unsafePath` is looked up with the layer as its root: symbolic links and `..` do not lead out of it. If it ends in `/.`, what
 * is in the directory is copied, without the directory. A symbolic link that it names itself is copied as that.
 *
 * @param target A path of the host: a directory that is there gets it in it, another one is made of it. Or an open file,
 * which gets it as a tar.
 * @throws {StorageError} `invalid_argument`: there is no such file, or no place for it; `layer_not_found`, and what `get`
 * throws; `not_supported`: a name that begins with `.wh.`; `permission_denied`.
 *
 * @example
 * ```ts ignore
 * await copyFromLayer(driver, "job-1", "/etc/passwd", "/tmp/passwd");
 * ```
 */
export async function copyFromLayer(
  driver: GraphDriver,
  id: string,
  unsafePath: string,
  target: string | FileDescriptor,
  options: WorkOptions = {},
): Promise<CopyResult> {
  return await copying(`Cannot copy "${unsafePath}" out of layer "${id}"`, async () => {
    await using layer = await getForReading(driver, id);
    using places = CopyPlaces.inRoot(layer.path);
    using source = places.source(unsafePath);
    if (typeof target !== "string") return await packTo(target.fd, source, options);
    using host = CopyPlaces.ofHost();
    using to = host.target(target, source);
    return await transfer(source, to, LENIENT, options);
  });
}

/**
 * Copies a file, or a directory with what is in it, into the layer `id`, where nothing lies on it. `unsafePath` is looked up
 * as by {@linkcode copyFromLayer}. What is copied until something fails stays.
 *
 * @param source A path of the host; or an open tar (plain, gzip or zstd), whose content goes into the directory `unsafePath`.
 * @throws {StorageError} As {@linkcode copyFromLayer}; `layer_in_use`: it is the parent of another layer, or nothing can be
 * written in it; `invalid_archive`, `unsafe_path`.
 */
export async function copyToLayer(
  driver: GraphDriver,
  source: string | FileDescriptor,
  id: string,
  unsafePath: string,
  options: WorkOptions = {},
): Promise<CopyResult> {
  return await copying(`Cannot copy to "${unsafePath}" in layer "${id}"`, async () => {
    await requireNoChild(driver, id);
    await using layer = await driver.get(id);
    requireWritable(layer);
    using places = CopyPlaces.inRoot(layer.path);
    if (typeof source !== "string") {
      using directory = places.directory(unsafePath);
      return await unpackFrom(source.fd, directory, options);
    }
    using host = CopyPlaces.ofHost();
    using from = host.source(source);
    using to = places.target(unsafePath, from);
    return await transfer(from, to, {}, options);
  });
}

/** What is in the way is replaced, unless that is a directory. */
const MERGED = { target: "merged", keepsDirectories: true } as const;

/** A layer that somebody writes in is seen as it is meanwhile. */
async function getForReading(driver: GraphDriver, id: string): Promise<MountedLayer> {
  try {
    return await driver.get(id, { readOnly: true });
  } catch (error) {
    if (!isStorageError(error, "layer_in_use")) throw error;
    return await driver.get(id);
  }
}

async function requireNoChild(driver: GraphDriver, id: string): Promise<void> {
  for await (const layer of driver.layers()) {
    if (layer.parent !== id) continue;
    throw new StorageError("layer_in_use", `Cannot copy into layer "${id}": layer "${layer.id}" lies on it`, {
      hint: `copy into a new layer: lamina create NEW --parent ${id} --read-write`,
    });
  }
}

function requireWritable({ id, path }: MountedLayer): void {
  if ((statfs(path).mountFlags & MS_RDONLY) === 0) return;
  throw new StorageError(
    "layer_in_use",
    `Cannot copy into layer "${id}": it is committed, so that nothing can be written in it`,
    {
      hint: `copy into a new layer: lamina create NEW --parent ${id} --read-write`,
    },
  );
}

async function copying(action: string, work: () => Promise<CopyResult>): Promise<CopyResult> {
  try {
    return await work();
  } catch (error) {
    throw asStorageError(error, action);
  }
}

/** What the packer is told of a source; `as` is what it is to be called. */
function partOf({ name }: CopySource, as: string | undefined): PackedPart {
  return name === undefined ? "content" : { name, as: as ?? name };
}

async function packTo(archiveFd: number, source: CopySource, options: WorkOptions): Promise<CopyResult> {
  using runner = new WorkerRunner();
  const packed = await runner.run("pack", packArgs(archiveFd, source, undefined), options);
  return { ...packed, droppedXattrs: [] };
}

function packArgs(archiveFd: number, source: CopySource, as: string | undefined): Tasks["pack"]["args"] {
  return { directory: pathOf(source.directory), archiveFd, compression: undefined, part: partOf(source, as) };
}

async function unpackFrom(archiveFd: number, target: CopyTarget, options: WorkOptions): Promise<CopyResult> {
  using runner = new WorkerRunner();
  const args = { archiveFd, directory: pathOf(target.directory), ...MERGED };
  return { ...await runner.run("unpack", args, options), skippedSockets: [] };
}

/** One thread reads, another one writes. */
async function transfer(
  source: CopySource,
  target: CopyTarget,
  xattrs: XattrPolicies,
  options: WorkOptions,
): Promise<CopyResult> {
  using runner = new WorkerRunner();
  const { readFd, writeFd } = pipe2();
  const { signal } = options;
  const packing = runner.run("pack", packArgs(writeFd, source, target.as), signal === undefined ? {} : { signal });
  const args = { archiveFd: readFd, directory: pathOf(target.directory), ...MERGED, xattrs };
  const [packed, unpacked] = await Promise.allSettled([
    packing.finally(() => close(writeFd)),
    runner.run("unpack", args, options).finally(() => close(readFd)),
  ]);
  // Who reads went away because of a failure of its own; who writes ends the archive early.
  if (packed.status === "rejected" && !isStorageError(packed.reason, "output_closed")) throw packed.reason;
  if (unpacked.status === "rejected") throw unpacked.reason;
  if (packed.status === "rejected") throw packed.reason;
  const { entries, bytes, droppedXattrs } = unpacked.value;
  return { entries, bytes, droppedXattrs, skippedSockets: packed.value.skippedSockets };
}

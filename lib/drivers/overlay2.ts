// SPDX-License-Identifier: Apache-2.0

/**
 * Docker's `overlay2`, on Docker's own files: a store that dockerd made opens here, and the other way round. What lies
 * where is in _overlay2_layout.ts, how layers come and go in _overlay2_create.ts, what is in them in
 * _overlay2_content.ts; driver.ts says what each method promises.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_DIRECTORY, O_RDWR, O_TMPFILE, openat, tryLseek } from "../../ffi/file.ts";
import { asStorageError, isStorageError, StorageError } from "../errors.ts";
import { parseLayerId } from "../layer_id.ts";
import { unmountBelow } from "../mount/unmount.ts";
import { lockDirectory } from "../util/directory_lock.ts";
import { DirectoryGetter } from "./_diff_getter.ts";
import { applyDiff, changesOf, diffStream, diffTo, sizeOf } from "./_overlay2_content.ts";
import { createLayer, removeLayer } from "./_overlay2_create.ts";
import { type HomeSettings, Overlay2Home } from "./_overlay2_home.ts";
import { overlayOf } from "./_overlay2_trees.ts";
import { checkLayerOptions, parseOverlay2Options } from "./_overlay2_options.ts";
import type {
  ApplyOptions,
  ApplyResult,
  Change,
  CompareOptions,
  CreateOptions,
  DiffGetter,
  DiffOptions,
  DiffResult,
  FileDescriptor,
  GetOptions,
  GraphDriver,
  LayerInfo,
  LayerMetadata,
  MountedLayer,
  RemoveOptions,
  StatusEntry,
} from "./driver.ts";

/** Docker's limit on layers below a layer, for which a page of mount options is just enough. */
const MAX_DEPTH = 128;

/** How the driver is opened: as any home, and with the options of `overlay2`. */
export type Overlay2Settings = Omit<HomeSettings, "maxDepth" | "mountOptions"> & { options: readonly string[] };

/** The driver. */
export class Overlay2Driver implements GraphDriver {
  readonly name = "overlay2";
  readonly home: string;
  readonly #home: Overlay2Home;
  /** What `get` of this object mounted and `put` did not give back, by how many times. */
  readonly #held = new Map<string, number>();

  /** @throws {StorageError} `invalid_argument`, `not_supported`: the options. */
  constructor(settings: Overlay2Settings) {
    const { mountOptions } = parseOverlay2Options(settings.options);
    this.home = settings.home;
    this.#home = new Overlay2Home({ ...settings, mountOptions, maxDepth: MAX_DEPTH });
  }

  create(id: string, options: CreateOptions = {}): Promise<void> {
    return attempt(`Cannot make layer "${id}"`, () => this.#create(id, options, false));
  }

  createReadWrite(id: string, options: CreateOptions = {}): Promise<void> {
    return attempt(`Cannot make layer "${id}"`, () => this.#create(id, options, true));
  }

  async #create(unsafeId: string, options: CreateOptions, isReadWrite: boolean): Promise<void> {
    const id = parseLayerId(unsafeId);
    const parent = options.parent === undefined ? undefined : parseLayerId(options.parent);
    checkLayerOptions(options.storageOptions, isReadWrite);
    await createLayer(this.#home, id, parent, options.idMaps ?? this.#home.idMaps);
  }

  createFromTemplate(id: string, template: string, options: CreateOptions = {}): Promise<void> {
    return attempt(`Cannot copy layer "${template}"`, () => this.#createFrom(template, id, options));
  }

  async #createFrom(template: string, id: string, options: CreateOptions): Promise<void> {
    const from = parseLayerId(template);
    this.#home.requireLayer(from);
    const parent = this.#home.layout.parentOf(from);
    await this.#create(id, parent === undefined ? options : { ...options, parent }, true);
    try {
      using file = new Fd(openat(AT_FDCWD, this.home, O_TMPFILE | O_DIRECTORY | O_RDWR, 0o600));
      await this.diffTo(from, file);
      tryLseek(file.fd, 0, 0);
      await this.applyDiff(id, file);
    } catch (error) {
      await this.remove(id);
      throw error;
    }
  }

  remove(unsafeId: string, options: RemoveOptions = {}): Promise<void> {
    return attempt(`Cannot remove layer "${unsafeId}"`, async () => {
      const id = parseLayerId(unsafeId);
      await removeLayer(this.#home, id, options);
      this.#held.delete(id);
    });
  }

  get(id: string, options: GetOptions = {}): Promise<MountedLayer> {
    return attempt(`Cannot mount layer "${id}"`, () => this.#get(parseLayerId(id), options));
  }

  async #get(id: string, options: GetOptions): Promise<MountedLayer> {
    const { layout } = this.#home;
    using _lock = await this.#home.lock(id);
    this.#home.requireWhole(id);
    if (layout.lowers(id).length === 0 && options.readOnly !== true) {
      return { id, path: layout.diffDir(id), [Symbol.asyncDispose]: nothingToDo };
    }
    const mergedDir = layout.mergedDir(id);
    const overlay = overlayOf(this.#home, id, options);
    try {
      await this.#home.mounts.acquire(id, mergedDir, overlay, this.#home.owner());
    } catch (error) {
      if (isStorageError(error, "mount_failed")) this.#home.requireDirectories(id);
      throw error;
    }
    this.#held.set(id, (this.#held.get(id) ?? 0) + 1);
    let isHeld = true;
    const release = async (): Promise<void> => {
      if (!isHeld) return;
      isHeld = false;
      await this.put(id);
    };
    return { id, path: mergedDir, [Symbol.asyncDispose]: release };
  }

  put(id: string): Promise<void> {
    return attempt(`Cannot unmount layer "${id}"`, () => this.#put(parseLayerId(id)));
  }

  async #put(id: string): Promise<void> {
    const held = this.#held.get(id) ?? 0;
    if (held > 1) this.#held.set(id, held - 1);
    else this.#held.delete(id);
    using lock = await lockDirectory(this.#home.layout.dir(id), "exclusive");
    if (lock === undefined) return;
    if (this.#home.mountState(id) === "none") return;
    await this.#home.mounts.release(id, this.#home.layout.mergedDir(id));
  }

  exists(unsafeId: string): Promise<boolean> {
    return attempt(`Cannot look for layer "${unsafeId}"`, () => this.#home.layout.exists(parseLayerId(unsafeId)));
  }

  async *layers(): AsyncGenerator<LayerInfo> {
    const action = `Cannot list the layers of ${this.home}`;
    const ids = await attempt(action, () => this.#home.layout.layerIds());
    for (const id of ids) yield await attempt(action, () => this.#infoOf(id));
  }

  #infoOf(id: string): LayerInfo {
    const { layout } = this.#home;
    const mounted = this.#home.mountState(id) === "mounted";
    try {
      return { id, parent: layout.parentOf(id), depth: layout.lowers(id).length, mounted };
    } catch (error) {
      // One damaged layer must not hide the others.
      if (!isStorageError(error, "store_damaged")) throw error;
      this.#home.logger.warn(error.message);
      return { id, parent: undefined, depth: 0, mounted };
    }
  }

  status(): Promise<StatusEntry[]> {
    return attempt<StatusEntry[]>(`Cannot tell the state of ${this.home}`, () => {
      const features = this.#home.prepare();
      return [
        ["Backing Filesystem", features.backingFileSystem],
        ["Supports d_type", "true"],
        ["Using metacopy", String(features.usingMetacopy)],
        ["Native Overlay Diff", String(features.nativeDiffRefusal === undefined)],
        ["userxattr", String(features.userxattr)],
      ];
    });
  }

  getMetadata(unsafeId: string): Promise<LayerMetadata> {
    return attempt(`Cannot tell where layer "${unsafeId}" lies`, () => {
      const id = parseLayerId(unsafeId);
      const { layout } = this.#home;
      this.#home.requireLayer(id);
      return {
        upperDir: layout.diffDir(id),
        workDir: layout.workDir(id),
        mergedDir: layout.mergedDir(id),
        lowerDirs: layout.lowerDirs(id),
      };
    });
  }

  diff(id: string, options: DiffOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    return attempt(`Cannot read layer "${id}"`, () => diffStream(this.#home, parseLayerId(id), options));
  }

  diffTo(id: string, output: FileDescriptor, options: DiffOptions = {}): Promise<DiffResult> {
    return attempt(`Cannot read layer "${id}"`, () => diffTo(this.#home, parseLayerId(id), output, options));
  }

  applyDiff(
    id: string,
    diff: ReadableStream<Uint8Array> | FileDescriptor,
    options: ApplyOptions = {},
  ): Promise<ApplyResult> {
    const action = `Cannot apply a diff to layer "${id}"`;
    return attempt(action, () => applyDiff(this.#home, parseLayerId(id), diff, options));
  }

  diffSize(id: string, options: CompareOptions = {}): Promise<number> {
    return attempt(`Cannot read layer "${id}"`, () => sizeOf(this.#home, parseLayerId(id), options));
  }

  changes(id: string, options: CompareOptions = {}): Promise<Change[]> {
    return attempt(`Cannot read layer "${id}"`, () => changesOf(this.#home, parseLayerId(id), options));
  }

  updateLayerIdMap(unsafeId: string): Promise<void> {
    return attempt(`Cannot give layer "${unsafeId}" to other ids`, () => {
      this.#home.requireLayer(parseLayerId(unsafeId));
      throw new StorageError(
        "not_supported",
        "overlay2 layers keep the owners they were made with: Docker's format has no id maps",
      );
    });
  }

  diffGetter(unsafeId: string): Promise<DiffGetter> {
    return attempt(`Cannot read layer "${unsafeId}"`, () => {
      const id = parseLayerId(unsafeId);
      this.#home.requireLayer(id);
      this.#home.requireWhole(id);
      return new DirectoryGetter(this.#home.layout.diffDir(id));
    });
  }

  cleanup(): Promise<void> {
    return attempt(`Cannot unmount the layers of ${this.home}`, async () => {
      this.#held.clear();
      const { layout, mounts } = this.#home;
      for (const id of layout.layerIds()) {
        if (this.#home.mountState(id) !== "none") await mounts.unmount(id, layout.mergedDir(id));
      }
      // What else somebody mounted below the home.
      unmountBelow(this.home);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      for (const [id, count] of [...this.#held]) {
        for (let i = 0; i < count; i++) await this.put(id);
      }
    } finally {
      this.#home[Symbol.dispose]();
    }
  }
}

function nothingToDo(): Promise<void> {
  return Promise.resolve();
}

/** Runs a method, whose failures are all of one class; `action` is how the message of a failed system call begins. */
async function attempt<T>(action: string, method: () => T | Promise<T>): Promise<T> {
  try {
    return await method();
  } catch (error) {
    throw asStorageError(error, action);
  }
}

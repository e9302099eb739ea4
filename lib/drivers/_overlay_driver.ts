// SPDX-License-Identifier: Apache-2.0

/**
 * The methods that drivers have in common whose layers have short names in `l/` and a `lower` file. What lies where is in
 * _layer_layout.ts, how layers come and go in _layer_create.ts, what is in them in _layer_content.ts; driver.ts says what
 * each method promises.
 *
 * @module
 */

import { asStorageError, isStorageError } from "../errors.ts";
import { parseLayerId } from "../layer_id.ts";
import type { OverlayMount } from "../mount/overlay_mount.ts";
import { unmountBelow } from "../mount/unmount.ts";
import { lockDirectory } from "../util/directory_lock.ts";
import { DirectoryGetter } from "./_diff_getter.ts";
import { applyDiff, changesOf, diffStream, diffTo, type Layers, sizeOf } from "./_layer_content.ts";
import { createLayer, removeLayer } from "./_layer_create.ts";
import type { LayerHome } from "./_layer_home.ts";
import { naiveDiffHost } from "./_layer_trees.ts";
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
import { NaiveDiff } from "./naive_diff.ts";

/** A driver but for its options and its mounts. */
export abstract class OverlayDriver implements GraphDriver {
  readonly name: string;
  readonly home: string;
  /** What `get` of this object mounted and `put` did not give back, by how many times. */
  readonly #held = new Map<string, number>();

  readonly #layers: Layers;

  constructor(protected readonly layerHome: LayerHome) {
    this.name = layerHome.format.driver;
    this.home = layerHome.layout.home;
    const naiveDiff = new NaiveDiff(naiveDiffHost(layerHome, (id) => this.overlayOf(id, { readOnly: true })));
    this.#layers = { home: layerHome, naiveDiff };
  }

  /** Checks the id and the options of a new layer. */
  protected abstract checkNewLayer(id: string, options: CreateOptions, isReadWrite: boolean): void;

  /** Whether `get` shows the layer as it lies. */
  protected abstract isShownAsItLies(id: string, options: GetOptions): boolean;

  /** What `get` mounts otherwise. */
  protected abstract overlayOf(id: string, options: GetOptions): OverlayMount;

  abstract createFromTemplate(id: string, template: string, options?: CreateOptions): Promise<void>;
  abstract status(): Promise<StatusEntry[]>;
  abstract updateLayerIdMap(id: string): Promise<void>;

  create(id: string, options: CreateOptions = {}): Promise<void> {
    return attempt(`Cannot make layer "${id}"`, () => this.#create(id, options, false));
  }

  createReadWrite(id: string, options: CreateOptions = {}): Promise<void> {
    return attempt(`Cannot make layer "${id}"`, () => this.#create(id, options, true));
  }

  async #create(unsafeId: string, options: CreateOptions, isReadWrite: boolean): Promise<void> {
    const id = parseLayerId(unsafeId);
    const parent = options.parent === undefined ? undefined : parseLayerId(options.parent);
    this.checkNewLayer(id, options, isReadWrite);
    await createLayer(this.layerHome, id, parent, options.idMaps ?? this.layerHome.idMaps);
  }

  remove(unsafeId: string, options: RemoveOptions = {}): Promise<void> {
    return attempt(`Cannot remove layer "${unsafeId}"`, async () => {
      const id = parseLayerId(unsafeId);
      await removeLayer(this.layerHome, id, options);
      this.#held.delete(id);
    });
  }

  get(id: string, options: GetOptions = {}): Promise<MountedLayer> {
    return attempt(`Cannot mount layer "${id}"`, () => this.#get(parseLayerId(id), options));
  }

  async #get(id: string, options: GetOptions): Promise<MountedLayer> {
    const { layout } = this.layerHome;
    using _lock = await this.layerHome.lock(id);
    this.layerHome.requireWhole(id);
    if (this.isShownAsItLies(id, options)) return { id, path: layout.diffDir(id), [Symbol.asyncDispose]: nothingToDo };
    const mergedDir = layout.mergedDir(id);
    const overlay = this.overlayOf(id, options);
    try {
      await this.layerHome.mounts.acquire(id, mergedDir, overlay, this.layerHome.owner());
    } catch (error) {
      if (isStorageError(error, "mount_failed")) this.layerHome.requireDirectories(id);
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
    using lock = await lockDirectory(this.layerHome.layout.dir(id), "exclusive");
    if (lock === undefined) return;
    if (this.layerHome.mountState(id) === "none") return;
    await this.layerHome.mounts.release(id, this.layerHome.layout.mergedDir(id));
  }

  exists(unsafeId: string): Promise<boolean> {
    return attempt(`Cannot look for layer "${unsafeId}"`, () => this.layerHome.layout.exists(parseLayerId(unsafeId)));
  }

  async *layers(): AsyncGenerator<LayerInfo> {
    const action = `Cannot list the layers of ${this.home}`;
    const ids = await attempt(action, () => this.layerHome.layout.layerIds());
    for (const id of ids) yield await attempt(action, () => this.#infoOf(id));
  }

  #infoOf(id: string): LayerInfo {
    const { layout } = this.layerHome;
    const mounted = this.layerHome.mountState(id) === "mounted";
    try {
      return { id, parent: layout.parentOf(id), depth: layout.lowers(id).length, mounted };
    } catch (error) {
      // One damaged layer must not hide the others.
      if (!isStorageError(error, "store_damaged")) throw error;
      this.layerHome.logger.warn(error.message);
      return { id, parent: undefined, depth: 0, mounted };
    }
  }

  getMetadata(unsafeId: string): Promise<LayerMetadata> {
    return attempt(`Cannot tell where layer "${unsafeId}" lies`, () => {
      const id = parseLayerId(unsafeId);
      const { layout } = this.layerHome;
      this.layerHome.requireLayer(id);
      return {
        upperDir: layout.diffDir(id),
        workDir: layout.workDir(id),
        mergedDir: layout.mergedDir(id),
        lowerDirs: layout.lowerDirs(id),
      };
    });
  }

  diff(id: string, options: DiffOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    return attempt(`Cannot read layer "${id}"`, () => diffStream(this.#layers, parseLayerId(id), options));
  }

  diffTo(id: string, output: FileDescriptor, options: DiffOptions = {}): Promise<DiffResult> {
    return attempt(`Cannot read layer "${id}"`, () => diffTo(this.#layers, parseLayerId(id), output, options));
  }

  applyDiff(
    id: string,
    diff: ReadableStream<Uint8Array> | FileDescriptor,
    options: ApplyOptions = {},
  ): Promise<ApplyResult> {
    const action = `Cannot apply a diff to layer "${id}"`;
    return attempt(action, () => applyDiff(this.#layers, parseLayerId(id), diff, options));
  }

  diffSize(id: string, options: CompareOptions = {}): Promise<number> {
    return attempt(`Cannot read layer "${id}"`, () => sizeOf(this.#layers, parseLayerId(id), options));
  }

  changes(id: string, options: CompareOptions = {}): Promise<Change[]> {
    return attempt(`Cannot read layer "${id}"`, () => changesOf(this.#layers, parseLayerId(id), options));
  }

  diffGetter(unsafeId: string): Promise<DiffGetter> {
    return attempt(`Cannot read layer "${unsafeId}"`, () => {
      const id = parseLayerId(unsafeId);
      this.layerHome.requireLayer(id);
      this.layerHome.requireWhole(id);
      return new DirectoryGetter(this.layerHome.layout.diffDir(id));
    });
  }

  cleanup(): Promise<void> {
    return attempt(`Cannot unmount the layers of ${this.home}`, async () => {
      this.#held.clear();
      const { layout, mounts } = this.layerHome;
      for (const id of layout.layerIds()) {
        if (this.layerHome.mountState(id) !== "none") await mounts.unmount(id, layout.mergedDir(id));
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
      this.layerHome[Symbol.dispose]();
    }
  }
}

function nothingToDo(): Promise<void> {
  return Promise.resolve();
}

/** Runs a method, whose failures are all of one class; `action` is how the message of a failed system call begins. */
export async function attempt<T>(action: string, method: () => T | Promise<T>): Promise<T> {
  try {
    return await method();
  } catch (error) {
    throw asStorageError(error, action);
  }
}

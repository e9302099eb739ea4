// SPDX-License-Identifier: Apache-2.0

/**
 * The methods that all drivers have in common: layers that come, go and are mounted, counted over all processes. What a
 * layer is on disk, and what is in it, each driver says itself; driver.ts says what each method promises.
 *
 * Modules that few calls need are loaded by those calls, here and in the drivers: a command that mounts a layer should not
 * have to wait for what reads archives.
 *
 * @module
 */

import { AT_FDCWD } from "../../ffi/file.ts";
import { tryBirthTimeMs } from "../../ffi/stat.ts";
import { asStorageError, isStorageError, StorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import { parseLayerId } from "../layer_id.ts";
import type { OverlayMount } from "../mount/overlay_mount.ts";
import { unmountBelow } from "../mount/unmount.ts";
import { lockDirectory } from "../util/directory_lock.ts";
import type { DriverHome } from "./_driver_home.ts";
import type { DriverName } from "./driver_name.ts";
import { LayerViews } from "./_layer_views.ts";
import { recordManifest, verifyLayer } from "./_layer_manifest.ts";
import { usageOf } from "./_layer_usage.ts";
import { sweepLeftovers } from "./_leftovers.ts";
import type {
  ApplyOptions,
  ApplyResult,
  Change,
  CheckOptions,
  CompareOptions,
  CreateOptions,
  DiffGetter,
  DiffOptions,
  DiffResult,
  DiskUsage,
  FileDescriptor,
  Finding,
  GetOptions,
  GraphDriver,
  LayerInfo,
  LayerMetadata,
  ManifestDifference,
  MountedLayer,
  MountedView,
  RemapOptions,
  RemoveOptions,
  StatusEntry,
  UsageOptions,
  ViewInfo,
  ViewOptions,
  WorkOptions,
} from "./driver.ts";

/**
 * The layer that `id` is compared with: `parent`, or where that is left out its own parent.
 *
 * @throws {StorageError} `layer_not_found`.
 */
export function parentToCompare(
  home: DriverHome,
  id: string,
  parent: string | null | undefined,
): string | undefined {
  home.requireLayer(id);
  if (parent === undefined) return home.layout.parentOf(id);
  return parent === null ? undefined : parseLayerId(parent);
}

/** @throws {StorageError} `layer_not_found`; `not_supported`: a diff goes over the layer's own parent only. */
export function requireOwnParent(home: DriverHome, id: string, parent: string | null | undefined): void {
  const own = parentToCompare(home, id, undefined);
  if (parent === undefined || (parent ?? undefined) === own) return;
  const base = parent === null ? "nothing" : `"${parent}"`;
  throw new StorageError("not_supported", `Cannot apply a diff to layer "${id}" over ${base}: that is not its parent`, {
    hint: own === undefined
      ? `"${id}" has no parent: leave --parent out`
      : `its parent is "${own}": leave --parent out`,
  });
}

/** A driver but for its format. */
export abstract class HomeDriver<H extends DriverHome> implements GraphDriver {
  readonly home: string;
  /** What `get` of this object mounted and `put` did not give back, by how many times. */
  readonly #held = new Map<string, number>();
  /** Places of views that this object made and did not take down. */
  readonly #heldViews = new Set<string>();
  readonly #views: LayerViews;

  constructor(readonly name: DriverName, protected readonly layerHome: H) {
    this.home = layerHome.layout.home;
    this.#views = new LayerViews({
      layerHome,
      isShownAsItLies: (id) => this.isShownAsItLies(id, {}),
      overlayOf: (id, options) => this.overlayOf(id, options),
      unmounted: (id) => this.unmounted(id),
    });
  }

  /** Checks the id and the options of a new layer, and tells the limit on its size in bytes; 0 is none. */
  protected abstract checkNewLayer(id: string, options: CreateOptions, isReadWrite: boolean): number;
  /** Makes a layer without content. */
  protected abstract makeLayer(
    id: string,
    parent: string | undefined,
    idMaps: IdMaps | undefined,
    sizeBytes: number,
  ): Promise<void>;
  /** Removes a layer, if there is one. */
  protected abstract removeLayer(id: string, options: RemoveOptions): Promise<void>;
  /** Whether `get` shows the layer as it lies. */
  protected abstract isShownAsItLies(id: string, options: GetOptions): boolean;
  /** What `get` mounts otherwise. */
  protected abstract overlayOf(id: string, options: GetOptions): OverlayMount;
  /** What `get` mounts; undefined where it shows the layer as it lies. */
  protected overlayToShow(id: string, options: GetOptions): OverlayMount | undefined {
    return this.isShownAsItLies(id, options) ? undefined : this.overlayOf(id, options);
  }
  /** Called when a layer's mount is gone. */
  protected unmounted(_id: string): void {}

  abstract createFromTemplate(id: string, template: string, options?: CreateOptions): Promise<void>;
  abstract status(): Promise<StatusEntry[]>;
  abstract getMetadata(id: string): Promise<LayerMetadata>;
  abstract diff(id: string, options?: DiffOptions): Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;
  abstract diffTo(id: string, output: FileDescriptor, options?: DiffOptions): Promise<DiffResult>;
  abstract applyDiff(
    id: string,
    diff: ReadableStream<Uint8Array> | FileDescriptor,
    options?: ApplyOptions,
  ): Promise<ApplyResult>;
  abstract diffSize(id: string, options?: CompareOptions): Promise<number>;
  abstract changes(id: string, options?: CompareOptions): Promise<Change[]>;
  abstract updateLayerIdMap(
    id: string,
    from: IdMaps | undefined,
    to: IdMaps | undefined,
    options?: RemapOptions,
  ): Promise<void>;

  supportsShifting(): Promise<boolean> {
    return attempt(`Cannot tell what mounts in ${this.home} can do`, () => this.layerHome.prepare().mapsIds);
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
    const sizeBytes = this.checkNewLayer(id, options, isReadWrite);
    await this.makeLayer(id, parent, options.idMaps ?? this.layerHome.idMaps, sizeBytes);
  }

  remove(unsafeId: string, options: RemoveOptions = {}): Promise<void> {
    return attempt(`Cannot remove layer "${unsafeId}"`, async () => {
      const id = parseLayerId(unsafeId);
      await this.removeLayer(id, options);
      this.#held.delete(id);
    });
  }

  get(id: string, options: GetOptions = {}): Promise<MountedLayer> {
    return attempt(`Cannot mount layer "${id}"`, () => this.#get(parseLayerId(id), options));
  }

  async #get(id: string, options: GetOptions): Promise<MountedLayer> {
    using _lock = await this.layerHome.lock(id);
    this.layerHome.requireMountable(id);
    const overlay = this.overlayToShow(id, options);
    if (overlay === undefined) {
      this.layerHome.requireContent(id);
      return { id, path: this.layerHome.layout.contentDir(id), [Symbol.asyncDispose]: nothingToDo };
    }
    const beside = this.layerHome.beside();
    const mergedDir = this.layerHome.mountPointFor(id, overlay, beside);
    const canWrite = overlay.upper !== undefined && !overlay.options.includes("ro");
    const requireWritable = (): void => {
      if (canWrite) this.layerHome.requireWritable(id);
    };
    try {
      const access = options.readOnly === true ? "read-only" : canWrite ? "read-write" : "any";
      if (canWrite && beside.hasViews) {
        this.layerHome.views.requireWritable(id, () => this.layerHome.mountState(id) !== "none");
      }
      await this.layerHome.mounts.acquire(id, mergedDir, overlay, this.layerHome.owner(), { access, requireWritable });
    } catch (error) {
      requireWritable();
      // The kernel looks at all of them anyway, but does not tell which one it missed.
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
    const { layout } = this.layerHome;
    using lock = await lockDirectory(layout.dir(id), "exclusive");
    if (lock === undefined) return;
    const beside = this.layerHome.beside();
    const isNeeded = (): boolean => beside.hasViews && this.layerHome.views.needMount(id);
    if (await this.layerHome.mounts.release(id, this.layerHome.mountPoint(id, beside), isNeeded)) this.unmounted(id);
  }

  mountAt(target: string, ids: readonly string[], options: ViewOptions = {}): Promise<MountedView> {
    return attempt(`Cannot mount at ${target}`, async () => {
      const { view, isNew } = await this.#views.mount(target, ids, options);
      if (isNew) this.#heldViews.add(view.path);
      let isHeld = isNew;
      const release = async (): Promise<void> => {
        if (!isHeld) return;
        isHeld = false;
        await this.unmountAt(view.path);
      };
      return { ...view, isNew, [Symbol.asyncDispose]: release };
    });
  }

  unmountAt(target: string): Promise<boolean> {
    return attempt(`Cannot unmount ${target}`, async () => {
      const path = await this.#views.unmount(target);
      if (path !== undefined) this.#heldViews.delete(path);
      return path !== undefined;
    });
  }

  views(): Promise<ViewInfo[]> {
    return attempt(`Cannot list the views of ${this.home}`, () => this.#views.list());
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
    const birthTimeMs = tryBirthTimeMs(AT_FDCWD, layout.dir(id));
    const createdAt = birthTimeMs === undefined ? undefined : new Date(birthTimeMs);
    try {
      return { id, parent: layout.parentOf(id), depth: layout.depthOf(id), mounted, createdAt };
    } catch (error) {
      // One damaged layer must not hide the others.
      if (!isStorageError(error, "store_damaged")) throw error;
      this.layerHome.logger.warn(error.message);
      return { id, parent: undefined, depth: 0, mounted, createdAt };
    }
  }

  usage(options: UsageOptions = {}): Promise<DiskUsage> {
    return attempt(`Cannot tell what the layers of ${this.home} occupy`, () => usageOf(this.layerHome, options));
  }

  diffGetter(unsafeId: string): Promise<DiffGetter> {
    return attempt(`Cannot read layer "${unsafeId}"`, async () => {
      const { DirectoryGetter } = await import("./_diff_getter.ts");
      const id = parseLayerId(unsafeId);
      this.layerHome.requireLayer(id);
      this.layerHome.requireWhole(id);
      return new DirectoryGetter(this.layerHome.layout.contentDir(id));
    });
  }

  cleanup(): Promise<void> {
    return attempt(`Cannot unmount the layers of ${this.home}`, async () => {
      this.#held.clear();
      this.#heldViews.clear();
      await this.#views.unmountAll();
      const { layout } = this.layerHome;
      for (const id of layout.layerIds()) {
        if (this.layerHome.mountState(id) === "none") continue;
        await this.layerHome.mounts.unmount(id, this.layerHome.mountPoint(id));
        this.unmounted(id);
      }
      // What else somebody mounted below the home.
      unmountBelow(this.home);
    });
  }

  async *check(options: CheckOptions = {}): AsyncGenerator<Finding> {
    try {
      const { checkStore } = await import("./_check_run.ts");
      yield* checkStore(this.layerHome, options);
    } catch (error) {
      throw asStorageError(error, `Cannot check ${this.home}`);
    }
  }

  recordManifest(unsafeId: string, options: WorkOptions = {}): Promise<void> {
    return attempt(
      `Cannot write down what is in layer "${unsafeId}"`,
      () => recordManifest(this.layerHome, parseLayerId(unsafeId), options),
    );
  }

  verify(unsafeId: string, options: WorkOptions = {}): Promise<ManifestDifference[] | undefined> {
    return attempt(
      `Cannot verify layer "${unsafeId}"`,
      () => verifyLayer(this.layerHome, parseLayerId(unsafeId), options),
    );
  }

  sweep(): Promise<string[]> {
    return attempt(`Cannot clear away what was left over in ${this.home}`, () => sweepLeftovers(this.layerHome));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      for (const path of [...this.#heldViews].reverse()) await this.unmountAt(path);
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

// SPDX-License-Identifier: Apache-2.0

/**
 * Layers shown at places of the user's choice. A view is a bind mount of something that is there anyway: the mount that
 * `get` makes, the files of a layer that is shown as it lies, or a mount of several layers that was made for it. So it
 * shows what `get` shows, as long as it is there, and has flags of its own: a view can be read-only of a layer that is
 * being written.
 *
 * A view does not count as a user of the layer's mount. It keeps the mount when the last user goes, and takes it down
 * when it goes itself and there is no user.
 *
 * @module
 */

import { dirname } from "node:path/posix";
import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, existsat, Fd, mkdirat, O_DIRECTORY, O_PATH, openat } from "../../ffi/file.ts";
import { MNT_DETACH, umount2 } from "../../ffi/mount.ts";
import { statat } from "../../ffi/stat.ts";
import { isStorageError, StorageError } from "../errors.ts";
import { parseLayerId } from "../layer_id.ts";
import { pathOf } from "../mount/mount_aside.ts";
import { divideMountOptions } from "../mount/mount_options.ts";
import { placeOf } from "../mount/mount_place.ts";
import { readMountInfo } from "../mount/mountinfo.ts";
import { MOST_LOWER_DIRS, type OverlayMount } from "../mount/overlay.ts";
import { removeMountPoint } from "../mount/unmount.ts";
import { lockDirectory } from "../util/directory_lock.ts";
import { randomId } from "../util/random_id.ts";
import type { DriverHome } from "./_driver_home.ts";
import { isEmptyDirectory } from "./_layer_aside.ts";
import { mountsOfView, type ViewRecord, type ViewRecords } from "./_view_records.ts";
import { findTarget, nameOfTarget, openTarget, requireApart } from "./_view_target.ts";
import type { GetOptions, ViewInfo, ViewOptions } from "./driver.ts";

const TREE_MODE = 0o700;

/** What a driver knows of its layers' mounts. */
export interface ViewHost {
  readonly layerHome: DriverHome;
  /** Whether `get` shows the layer as it lies. */
  isShownAsItLies(id: string): boolean;
  /** What `get` mounts otherwise. */
  overlayOf(id: string, options: GetOptions): OverlayMount;
  /** Called when a layer's mount is gone. */
  unmounted(id: string): void;
}

/** What is asked for. */
interface ViewRequest {
  ids: readonly string[];
  readOnly: boolean;
  /** Options of the view's own mount. */
  flags: readonly string[];
  /** Options of the overlay that it shows, where that is not mounted yet. */
  overlayOptions: GetOptions;
  /** All of it, to be compared. */
  text: string;
}

/** The views of one home. */
export class LayerViews {
  constructor(readonly host: ViewHost) {}

  get #home(): DriverHome {
    return this.host.layerHome;
  }
  get #records(): ViewRecords {
    return this.#home.views;
  }
  /** Where there is no home, there are no views of it. */
  get #hasHome(): boolean {
    return existsat(AT_FDCWD, this.#home.layout.home);
  }

  /** All views. */
  list(): ViewInfo[] {
    return this.#hasHome ? this.#records.live().map(infoOf) : [];
  }

  /** Makes a view, unless the same one is there. */
  async mount(
    unsafeTarget: string,
    unsafeIds: readonly string[],
    options: ViewOptions,
  ): Promise<{ view: ViewInfo; isNew: boolean }> {
    const request = readRequest(unsafeIds, options);
    for (const id of request.ids) this.#home.requireLayer(id);
    // Wrong options are told, and a home that is missing is made, before anything is locked.
    this.host.overlayOf(request.ids[0]!, request.overlayOptions);
    using _lock = await this.#records.lock();
    await this.#clearStale(findTarget(unsafeTarget).path);
    using target = openTarget(unsafeTarget);
    requireApart(target, this.#home.layout.home, "the store's home");
    requireApart(target, dirname(dirname(this.#records.directory)), "the run root");
    const path = nameOfTarget(target);
    const present = this.#records.list().find((record) => record.path === path);
    if (present !== undefined) return { view: this.#sameView(present, request), isNew: false };
    if (!isEmptyDirectory(pathOf(target))) {
      this.#home.logger.warn(`${path} is not empty: the view covers what is in it`);
    }
    using locks = new DisposableStack();
    for (const id of [...request.ids].sort()) locks.use(await this.#home.lock(id));
    for (const id of request.ids) this.#home.requireWhole(id);
    return { view: infoOf(await this.#make(target, path, request)), isNew: true };
  }

  #sameView(present: ViewRecord, { ids, text }: ViewRequest): ViewInfo {
    if (present.request === text) return infoOf(present);
    throw new StorageError(
      "layer_in_use",
      `Cannot mount ${describe(ids)} at ${present.path}: ${describe(present.ids)} is mounted there already`,
      { hint: `take that down first: lamina unmount --at ${present.path}` },
    );
  }

  /** The caller holds the layers' locks. */
  async #make(target: Fd, path: string, request: ViewRequest): Promise<ViewRecord> {
    const { source, readOnly, show } = this.#plan(request);
    const record = { name: randomId(10), path, ids: request.ids, readOnly, request: request.text, source };
    this.#records.write(record);
    try {
      const shown = await show(record);
      using top = new Fd(openat(AT_FDCWD, shown, O_PATH | O_DIRECTORY));
      const { device, root } = placeOf(top.fd);
      const mounted = { ...record, tree: { device, root } };
      this.#records.write(mounted);
      this.#home.mounter.bind(shown, target, readOnly ? [...request.flags, "ro"] : request.flags);
      return mounted;
    } catch (error) {
      await this.#giveUp(record);
      if (isStorageError(error, "mount_failed")) { for (const id of request.ids) this.#home.requireDirectories(id); }
      throw error;
    }
  }

  /** How a view is made: what it shows, and whether that can be written. `show` returns where it is to be seen. */
  #plan(request: ViewRequest): {
    source: ViewRecord["source"];
    readOnly: boolean;
    show(record: ViewRecord): string | Promise<string>;
  } {
    const { layout, mounts } = this.#home;
    const { ids, overlayOptions } = request;
    const id = ids[0]!;
    // A layer that is joined elsewhere cannot be written either, so that its own mount is not to be had.
    if (ids.length > 1 || request.readOnly && this.#records.isJoined(id)) {
      const overlay = this.#join(request);
      return { source: "joined", readOnly: true, show: (record) => this.#showJoined(record, overlay) };
    }
    const readOnly = request.readOnly || this.#home.isCommitted(id) || this.#home.isReadOnly;
    if (this.host.isShownAsItLies(id)) {
      if (!readOnly) this.#requireWritable(id);
      return { source: "files", readOnly, show: () => layout.contentDir(id) };
    }
    // The mount is the layer's own, to be written in by others; but not where that would take writing to the store.
    const isForReading = readOnly && !this.#home.isToBeWritten;
    const overlay = this.host.overlayOf(id, isForReading ? { ...overlayOptions, readOnly: true } : overlayOptions);
    const canWrite = overlay.upper !== undefined && !overlay.options.includes("ro");
    if (canWrite) this.#requireWritable(id);
    return {
      source: "mount",
      readOnly: readOnly || !canWrite,
      show: async () => {
        const access = canWrite && !readOnly ? "read-write" : "any";
        const place = this.#home.mountPointFor(id, overlay);
        await mounts.acquire(id, place, overlay, this.#home.owner(), { access, users: 0 });
        return place;
      },
    };
  }

  #requireWritable(id: string): void {
    this.#records.requireWritable(id, () => this.#home.mountState(id) !== "none");
  }

  /**
   * One tree of several layers, each with all layers below it. Where two have layers in common, these lie below both: a
   * layer keeps its lowest place, so that none is ever above one that lies on it.
   */
  #join({ ids, overlayOptions }: ViewRequest): OverlayMount {
    const { mounts } = this.#home;
    for (const id of ids) {
      this.#records.requireNotWritten(id);
      if (this.#home.isCommitted(id) || !mounts.isWritten(id, this.#home.mountPoint(id))) continue;
      throw new StorageError(
        "layer_in_use",
        `Cannot join layer "${id}" with others: it is mounted to be written in, and must not change meanwhile`,
        { hint: `unmount it first: lamina unmount ${id}` },
      );
    }
    const byKey = new Map<string, string>();
    // Who lies below another one is part of its tree.
    const tops = ids.filter((id) => !ids.some((other) => this.#isBelow(id, other)));
    for (const { key, path } of tops.flatMap((id) => this.#treeOf(id))) {
      byKey.delete(key);
      byKey.set(key, path);
    }
    const lowerDirs = [...byKey.values()];
    if (lowerDirs.length > MOST_LOWER_DIRS) {
      throw new StorageError(
        "max_depth_exceeded",
        `Cannot join ${
          describe(ids)
        }: with the layers below them they are ${lowerDirs.length}, and the kernel stacks ${MOST_LOWER_DIRS}`,
        { hint: "join fewer layers" },
      );
    }
    // Without an upper directory the kernel wants two others.
    if (lowerDirs.length === 1) lowerDirs.push(this.#home.emptyDir);
    const { options } = this.host.overlayOf(ids[0]!, { ...overlayOptions, readOnly: true });
    return { lowerDirs, upper: undefined, options };
  }

  /** The directories that are stacked to show the layer `id`, and by what two paths to one of them are told to be that. */
  #treeOf(id: string): { path: string; key: string }[] {
    try {
      return this.#home.layout.treeDirs(id).map((path) => ({ path, key: statat(AT_FDCWD, path).fileKey }));
    } catch (error) {
      this.#home.requireDirectories(id);
      throw error;
    }
  }

  /** Whether `id` is the parent of `other`, or a parent's parent. */
  #isBelow(id: string, other: string): boolean {
    const { layout } = this.#home;
    const seen = new Set<string>();
    for (let below = layout.parentOf(other); below !== undefined && !seen.has(below); below = layout.parentOf(below)) {
      if (below === id) return true;
      seen.add(below);
    }
    return false;
  }

  async #showJoined(record: ViewRecord, overlay: OverlayMount): Promise<string> {
    const tree = this.#records.treeDir(record);
    mkdirat(AT_FDCWD, tree, TREE_MODE);
    await this.#home.mounter.mount(overlay, tree);
    return tree;
  }

  /** Undoes what was begun; the first error is the one to tell. The caller holds the layers' locks. */
  async #giveUp(record: ViewRecord): Promise<void> {
    try {
      await this.#releaseLocked(record);
      this.#records.remove(record);
    } catch (error) {
      this.#home.logger.warn(`cannot clear away what was begun of the view at ${record.path}: ${String(error)}`);
    }
  }

  /** Takes the view at `unsafeTarget` down, and tells where it was; undefined if there is none, and nothing mounted. */
  async unmount(unsafeTarget: string): Promise<string | undefined> {
    const { path, place } = findTarget(unsafeTarget);
    if (this.#hasHome) {
      using _lock = await this.#records.lock();
      const record = this.#records.list().find((candidate) => candidate.path === path);
      if (record !== undefined) {
        await this.#takeDown(record);
        return path;
      }
    }
    if (place?.mountPoint !== path) return undefined;
    throw new StorageError(
      "invalid_argument",
      `Cannot unmount ${path}: it is no view of the store ${this.#home.layout.home}`,
      {
        hint:
          `umount ${path} unmounts what others have mounted; views of other stores need their --root and --run-root`,
      },
    );
  }

  /** Takes all views down. One that somebody else covered stays. */
  async unmountAll(): Promise<void> {
    if (!this.#hasHome) return;
    using _lock = await this.#records.lock();
    // Those within others first.
    for (const record of this.#records.list().sort((a, b) => b.path.length - a.path.length)) {
      try {
        await this.#takeDown(record);
      } catch (error) {
        if (!isStorageError(error, "layer_in_use")) throw error;
        this.#home.logger.warn(error.message);
      }
    }
  }

  async #takeDown(record: ViewRecord): Promise<void> {
    for (let last = lastMountOf(record); last !== undefined; last = lastMountOf(record)) {
      this.#requireNoneWithin(record);
      unmountTop(record.path, last);
    }
    await this.#release(record);
    this.#records.remove(record);
  }

  #requireNoneWithin({ path }: ViewRecord): void {
    const inner = this.#records.live().find((other) => other.path.startsWith(`${path}/`));
    if (inner === undefined) return;
    throw new StorageError("layer_in_use", `Cannot unmount ${path}: there is another view in it, at ${inner.path}`, {
      hint: `take that down first: lamina unmount --at ${inner.path}`,
    });
  }

  /** Clears away what killed processes and other people's umount(8) left; at `path` also what shows nothing any more. */
  async #clearStale(path: string): Promise<void> {
    const live = new Set(this.#records.live().map(({ name }) => name));
    for (const record of this.#records.list()) {
      if (live.has(record.name) && (record.path !== path || this.#isServed(record))) continue;
      await this.#takeDown(record);
    }
  }

  /** Whether what the view shows is mounted: a mount program can die, and an operator unmount what he should not. */
  #isServed(record: ViewRecord): boolean {
    if (record.source === "files") return true;
    if (record.source === "mount") return this.#home.mountState(record.ids[0]!) === "mounted";
    return this.#home.mounter.state(this.#records.treeDir(record)) === "mounted";
  }

  /** Gives back what a view was shown from. */
  async #release(record: ViewRecord): Promise<void> {
    if (record.source !== "mount") return await this.#releaseLocked(record);
    using lock = await lockDirectory(this.#home.layout.dir(record.ids[0]!), "exclusive");
    if (lock !== undefined) await this.#releaseLocked(record);
  }

  async #releaseLocked(record: ViewRecord): Promise<void> {
    const { mounter, mounts } = this.#home;
    if (record.source === "joined") {
      const tree = this.#records.treeDir(record);
      await mounter.unmount(tree);
      removeMountPoint(tree);
    }
    if (record.source !== "mount") return;
    const id = record.ids[0]!;
    const isGone = !this.#records.needMount(id) && await mounts.unmountUnused(id, this.#home.mountPoint(id));
    if (isGone) this.host.unmounted(id);
  }
}

function readRequest(unsafeIds: readonly string[], options: ViewOptions): ViewRequest {
  const ids = unsafeIds.map(parseLayerId);
  if (ids.length === 0) throw new StorageError("invalid_argument", "Cannot mount a view of no layer");
  const twice = ids.find((id, i) => ids.indexOf(id) !== i);
  if (twice !== undefined) throw new StorageError("invalid_argument", `Cannot join layer "${twice}" with itself`);
  const isReadOnly = options.readOnly === true || ids.length > 1;
  const { flags, rest } = divideMountOptions([...options.mountOptions ?? [], ...(isReadOnly ? ["ro"] : [])]);
  const mountLabel = options.mountLabel ?? "";
  return {
    ids,
    readOnly: flags.includes("ro"),
    flags,
    overlayOptions: { mountLabel, mountOptions: rest },
    text: JSON.stringify([ids, flags.toSorted(), rest, mountLabel]),
  };
}

function infoOf({ path, ids, readOnly }: ViewRecord): ViewInfo {
  return { path, ids: [...ids], readOnly };
}

function describe(ids: readonly string[]): string {
  const names = ids.map((id) => `"${id}"`).join(", ");
  return ids.length === 1 ? `layer ${names}` : `the layers ${names}`;
}

function lastMountOf(record: ViewRecord): number | undefined {
  return mountsOfView(record, readMountInfo()).at(-1)?.id;
}

/** Unmounts what is seen at `path` if that is the mount `id`; who has files open keeps them. */
function unmountTop(path: string, id: number): void {
  try {
    using top = new Fd(openat(AT_FDCWD, path, O_PATH | O_DIRECTORY));
    const { mountId } = placeOf(top.fd);
    if (mountId === id) return umount2(pathOf(top), MNT_DETACH);
  } catch (error) {
    // A mount program that has ended answers to nothing, and is on top.
    if (!isErrno(error, "ENOTCONN", "ECONNABORTED")) throw error;
    return umount2(path, MNT_DETACH);
  }
  throw new StorageError("layer_in_use", `Cannot unmount ${path}: something else is mounted over the view`, {
    hint: `take that down first: umount ${path}`,
  });
}

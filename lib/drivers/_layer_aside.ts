// SPDX-License-Identifier: Apache-2.0

/**
 * Layers that come and go as a whole, or not at all: a new layer is built under a name that is no layer's and renamed into
 * place, an old one is renamed aside and then deleted, and the content of a diff is made beside the layer's own.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import { ERRNO, failure, hex, isErrno, octal } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  close,
  existsat,
  Fd,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  openat,
  RENAME_NOREPLACE,
  renameat2,
  tryOpenat,
  tryUnlinkat,
} from "../../ffi/file.ts";
import { isDirectory, isNoDirectory } from "../../ffi/stat.ts";
import { asStorageError, StorageError } from "../errors.ts";
import {
  type DirectoryLock,
  isLocked,
  lockDirectory,
  lockNewDirectory,
  makeLockedDirectory,
  tryLockDirectory,
} from "../util/directory_lock.ts";
import { randomId } from "../util/random_id.ts";
import type { DirectoryEntry } from "../util/remove_tree.ts";
import type { DriverHome } from "./_driver_home.ts";
import { LINK } from "./_layer_layout.ts";
import { LayerPin } from "./_layer_pin.ts";
import { readLayerEntries, removeLayerIfSmall } from "./_short_work.ts";
import { makeOwnedDirectory, type Owner } from "./_owner.ts";
import type { RemoveOptions } from "./driver.ts";

const COMMITTED_MODE = 0o600;

/** What a new layer is made of. */
export interface NewLayer {
  readonly id: string;
  readonly parent: string | undefined;
  /** Of the layer's directory. */
  readonly mode: number;
  /** Of the layer's directory. */
  readonly owner: Owner;
  /** Whether {@linkcode build} waits for something. */
  readonly takesLong: boolean;
  /** Called with the parent locked and whole, before anything is made: whether the layer can lie on it. */
  check?(): void;
  /** Fills the directory `staging`, which becomes the layer; `undo` takes back what it makes elsewhere. */
  build(staging: string, undo: AsyncDisposableStack): void | Promise<void>;
}

/**
 * Makes a layer. Where that takes long, no lock of its parent is held meanwhile, so that others can make children of the same
 * one; then the parent is looked at twice, and has to be the same.
 *
 * @throws {StorageError} `layer_exists`, `parent_not_found`; `layer_in_use`, `store_damaged`: the parent is not whole, or was
 * changed meanwhile.
 */
export async function buildLayer(home: DriverHome, layer: NewLayer): Promise<void> {
  const { id } = layer;
  const { layout } = home;
  if (layout.exists(id)) throw layerExists(home, id);
  using parent = layer.parent === undefined ? undefined : await Parent.lock(home, layer.parent);
  if (parent !== undefined) home.requireWhole(parent.id);
  layer.check?.();
  if (layer.takesLong || home.sync.waitsForLayers) parent?.letGo();
  await using undo = new AsyncDisposableStack();
  const name = `.lamina-create-${randomId(10)}`;
  const staging = `${layout.home}/${name}`;
  try {
    makeOwnedDirectory(staging, layer.mode, layer.owner);
    undo.defer(() => home.runner.run("remove", { directory: layout.home, name }));
    // Says that somebody is at work here: see _leftovers.ts.
    using _stagingLock = lockNewDirectory(staging);
    await layer.build(staging, undo);
    await home.sync.layer(staging);
    await parent?.takeBack();
    putInPlace(home, parent, staging, id);
    undo.move();
    parent?.unlock();
    await home.sync.names(layout.home);
  } catch (error) {
    // Whatever fails while the parent goes away fails for that.
    parent?.requireSame();
    throw asStorageError(error, `Cannot make layer "${id}"`);
  }
}

/** The parent of a layer in the making. Its lock keeps it from being removed until its child is there to be seen. */
class Parent implements Disposable {
  readonly #home: DriverHome;
  #lock: DirectoryLock | undefined;
  /** As it was when it was let go. */
  #seen: LayerPin | undefined;

  private constructor(home: DriverHome, readonly id: string, lock: DirectoryLock) {
    this.#home = home;
    this.#lock = lock;
  }

  /** @throws {StorageError} `parent_not_found`. */
  static async lock(home: DriverHome, id: string): Promise<Parent> {
    return new Parent(home, id, await lockParent(home, id));
  }

  /** Lets others have it. */
  letGo(): void {
    this.#seen = new LayerPin(this.#home.layout, this.id);
    this.unlock();
  }

  /** @throws {StorageError} As {@linkcode Parent.lock} and {@linkcode requireSame}; `layer_in_use`, `store_damaged`: it is not whole. */
  async takeBack(): Promise<void> {
    if (this.#lock !== undefined) return;
    this.#lock = await lockParent(this.#home, this.id);
    this.#home.requireWhole(this.id);
    this.requireSame();
  }

  /** @throws {StorageError} `parent_not_found`; `layer_in_use`: it is another one, or has other content. */
  requireSame(): void {
    if (this.#seen === undefined) return;
    if (!this.#home.layout.exists(this.id)) throw parentNotFound(this.#home, this.id);
    if (this.#seen.isStill) return;
    throw new StorageError("layer_in_use", `Cannot make a layer on "${this.id}": it was changed meanwhile`, {
      hint: "try again",
    });
  }

  /** It has its child. */
  unlock(): void {
    this.#lock?.[Symbol.dispose]();
    this.#lock = undefined;
  }

  [Symbol.dispose](): void {
    this.unlock();
    this.#seen?.[Symbol.dispose]();
  }
}

/** Has `staging` be the layer `id` on `parent`, which is locked. */
function putInPlace(home: DriverHome, parent: Parent | undefined, staging: string, id: string): void {
  const { layout } = home;
  const marker = parent !== undefined && home.marksCommitted ? layout.committedFile(parent.id) : undefined;
  const isMarked = marker !== undefined && makeMarker(marker);
  try {
    renameat2(AT_FDCWD, staging, AT_FDCWD, layout.dir(id), RENAME_NOREPLACE);
  } catch (error) {
    if (isMarked) tryUnlinkat(AT_FDCWD, marker);
    // There was one, also where somebody has removed it since.
    if (isErrno(error, "EEXIST") && !isNoDirectory(layout.dir(id))) throw layerExists(home, id);
    throw error;
  }
}

/** Makes the file `committed`, of which the name counts: there is nothing in it to be lost. Whether it was not there. */
export function makeMarker(file: string): boolean {
  const flags = O_WRONLY | O_CREAT | O_EXCL;
  const fd = tryOpenat(AT_FDCWD, file, flags, COMMITTED_MODE);
  if (fd === -ERRNO.EEXIST) return false;
  if (fd < 0) throw failure(-fd, "openat", AT_FDCWD, file, hex(flags), octal(COMMITTED_MODE));
  close(fd);
  return true;
}

async function lockParent(home: DriverHome, id: string): Promise<DirectoryLock> {
  const lock = await lockDirectory(home.layout.dir(id), "exclusive");
  if (lock === undefined) throw parentNotFound(home, id);
  return lock;
}

function parentNotFound(home: DriverHome, id: string): StorageError {
  return new StorageError("parent_not_found", `There is no layer "${id}" in ${home.layout.home} to be the parent`, {
    hint: "lamina ls lists the layers",
  });
}

function layerExists(home: DriverHome, id: string): StorageError {
  return new StorageError("layer_exists", `There is a layer "${id}" in ${home.layout.home} already`);
}

/** What a layer has beside its directory, which is locked when it is asked. */
export interface OldLayer {
  /** A layer that lies on it, if there is any. */
  findChild(): string | undefined;
  /**
   * Gives back what it has outside; what it returns is called when the layer is no more.
   *
   * @param fd The layer's directory.
   */
  release(fd: number): Promise<() => void>;
}

/**
 * Removes the layer `id`, if there is one.
 *
 * @throws {StorageError} `layer_in_use`.
 */
export async function removeLayer(
  home: DriverHome,
  id: string,
  { force = false }: RemoveOptions,
  old: OldLayer,
): Promise<void> {
  const { layout } = home;
  const aside = `.lamina-remove-${randomId(10)}`;
  // Held to the end: the directory is then nobody's but ours, and a check can tell that somebody is at it.
  using lock = await lockDirectory(layout.dir(id), "exclusive");
  if (lock === undefined) return;
  requireChildless(id, old.findChild());
  const entries = readLayerEntries(lock.fd);
  await requireUnused(home, id, entries, force);
  const released = await old.release(lock.fd);
  const isAside = tryMoveAside(layout.dir(id), `${layout.home}/${aside}`);
  if (isAside) released();
  await home.sync.names(layout.home);
  const name = isAside ? aside : id;
  if (!removeLayerIfSmall(lock.fd, `${layout.home}/${name}`, entries)) {
    await home.runner.run("remove", { directory: layout.home, name });
  }
  if (!isAside) released();
}

/**
 * False where a new name takes space that there is not: to btrfs at its quota only removing is free. The layer must go all
 * the same, then, and from where it is. It loses the name that others know it by before its content: see _layer_pin.ts.
 */
function tryMoveAside(from: string, to: string): boolean {
  try {
    renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    return true;
  } catch (error) {
    // Docker's legacy layers have nothing by which readers could tell; and no home on btrfs.
    if (!isErrno(error, "EDQUOT", "ENOSPC") || !existsat(AT_FDCWD, `${from}/diff`)) throw error;
    tryUnlinkat(AT_FDCWD, `${from}/${LINK}`);
    return false;
  }
}

function requireChildless(id: string, child: string | undefined): void {
  if (child === undefined) return;
  throw new StorageError("layer_in_use", `Cannot remove layer "${id}": it is the parent of "${child}"`, {
    hint: `remove the layers above it first (lamina tree shows them)`,
  });
}

/** @param entries What is in its directory; undefined: anything. */
async function requireUnused(
  home: DriverHome,
  id: string,
  entries: readonly DirectoryEntry[] | undefined,
  force: boolean,
): Promise<void> {
  const { layout } = home;
  const beside = home.beside();
  if (beside.hasViews) home.views.requireNone(id, `remove layer "${id}"`);
  const prefix = `${layout.dir(id)}/`;
  const isThere = (path: string): boolean =>
    entries === undefined || !path.startsWith(prefix) ||
    entries.some(({ name }) => name === path.slice(prefix.length));
  if (isThere(layout.applyingDir(id)) && isLocked(layout.applyingDir(id))) {
    throw new StorageError("layer_in_use", `Cannot remove layer "${id}": a diff is being applied to it`);
  }
  const mergedDir = home.mountPoint(id, beside);
  // Nothing is mounted where there is nothing to mount it on.
  if (!isThere(mergedDir)) return;
  const state = home.mounter.state(mergedDir);
  if (state === "none") {
    if (!force && isDirectory(mergedDir)) home.mounts.requireNotElsewhere("remove", id, mergedDir);
    return;
  }
  if (state === "mounted" && !force) {
    throw new StorageError("layer_in_use", `Cannot remove layer "${id}": it is mounted`, {
      hint: `unmount it first (lamina unmount ${id}), or remove it with --force`,
    });
  }
  await home.mounts.unmount(id, mergedDir);
}

/** How a format takes new content. */
export interface ApplyPlace {
  /** @throws {StorageError} `layer_in_use`, `layer_not_empty`: the layer cannot take any. */
  requireFillable(): void | Promise<void>;
  /** Clears away what is in the making, and tells nobody if that fails. */
  clear(): Promise<void>;
  /** Makes the directory `applying`, which will be locked while there is work in it. */
  make(applying: string): void;
}

/**
 * Makes the directory in which the layer's new content is made, and returns its lock. The layer's own lock is held only
 * meanwhile: an archive may come slowly, and nobody should have to wait for it.
 *
 * @throws {StorageError} `layer_not_found`, `layer_in_use`, `layer_not_empty`.
 */
export async function beginApply(home: DriverHome, id: string, place: ApplyPlace): Promise<Disposable> {
  const path = home.layout.applyingDir(id);
  using _lock = await home.lock(id);
  home.requireContent(id);
  await place.requireFillable();
  requireNeverUsed(home, id);
  const left = tryLockDirectory(path, "exclusive");
  if (left === "busy") {
    throw new StorageError("layer_in_use", `Cannot apply a diff to layer "${id}": another one is being applied`);
  }
  if (left !== undefined) {
    left[Symbol.dispose]();
    home.logger.info(`clearing away an apply to layer "${id}" that was interrupted`);
    await place.clear();
  }
  const fresh = `${path}-new`;
  tryUnlinkat(AT_FDCWD, fresh, AT_REMOVEDIR);
  return makeLockedDirectory(path, fresh, (name) => place.make(name));
}

/**
 * Once is enough: from here to the end of the apply nobody can make a layer on it.
 *
 * @throws {StorageError} `layer_in_use`: what lies below a layer must not change.
 */
function requireNeverUsed(home: DriverHome, id: string): void {
  // The mark stays when the child goes. To look for children takes the longer the more layers there are.
  const child = home.isCommitted(id) ? home.findChildOf(id) : undefined;
  if (child === undefined) return;
  throw new StorageError("layer_in_use", `Cannot apply a diff to layer "${id}": it is the parent of "${child}"`, {
    hint: "fill a layer before others are made on it",
  });
}

/** @throws {StorageError} `layer_not_empty`: there is something in the directory `content` of the layer. */
export function requireEmpty(id: string, content: string): void {
  if (isEmptyDirectory(content)) return;
  throw notEmpty(id);
}

/** Why a layer takes no diff that has something in it. */
export function notEmpty(id: string): StorageError {
  return new StorageError("layer_not_empty", `Cannot apply a diff to layer "${id}": it has content already`, {
    hint: "make a new layer for it",
  });
}

/** @throws {StorageError} `layer_in_use`: the layer is mounted, or shown in a view. */
export function requireUnmounted(home: DriverHome, id: string): void {
  home.views.requireNone(id, `apply a diff to layer "${id}"`);
  if (home.mountState(id) !== "mounted") return;
  throw new StorageError("layer_in_use", `Cannot apply a diff to layer "${id}": it is mounted`);
}

/** Whether there is nothing in the directory `path`. */
export function isEmptyDirectory(path: string): boolean {
  using directory = new Fd(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  let isEmpty = true;
  readDirectory(directory.fd, () => isEmpty = false);
  return isEmpty;
}

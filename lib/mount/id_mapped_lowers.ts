// SPDX-License-Identifier: Apache-2.0

/**
 * Lower directories under other ids, without a copy: the mount that they lie on is cloned, the clone is told to show the ids
 * on disk as those that a user namespace makes of them, and overlayfs is given the directories as the clone has them. It
 * takes clones of its own, so that ours end as soon as the overlay is mounted. See mount_setattr(2), "ID-mapped mounts".
 *
 * Only lower directories are mapped, as containers/storage does: overlayfs could not write to an upper one. What is written
 * has the host's ids on disk. A layer that was written to through such a mount is therefore not mapped once more where
 * it is a lower layer itself: it is known by its root, which belongs to an id of the host.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  Fd,
  mkdirat,
  O_DIRECTORY,
  O_PATH,
  openat,
  readlinkat,
  tryUnlinkat,
} from "../../ffi/file.ts";
import { MNT_DETACH, umount2 } from "../../ffi/mount.ts";
import { mount_setattr_idmap, move_mount, open_tree } from "../../ffi/mount_api.ts";
import { Stat, statat, tryStatx } from "../../ffi/stat.ts";
import { statfs } from "../../ffi/statfs.ts";
import { StorageError } from "../errors.ts";
import type { IdMap, IdMaps } from "../id_map.ts";
import { randomId } from "../util/random_id.ts";
import { textOf } from "../util/text.ts";
import { namespaceOf } from "./id_map_namespace.ts";
import type { OverlayMount } from "./overlay.ts";

const MOUNT_POINT_MODE = 0o700;

/** Lower directories as clones show them, until this is disposed. */
export class IdMappedLowers implements Disposable {
  /** The overlay, with lower directories that have the host's ids. Any process that may look at this one finds them. */
  readonly overlay: OverlayMount;
  readonly #clones: Fd[] = [];
  readonly #undo = new DisposableStack();

  /**
   * @throws {StorageError} `not_supported`: the kernel or a file system maps no ids; `invalid_argument`: the maps.
   * {SyscallError} A directory is not there.
   */
  constructor(overlay: OverlayMount, maps: IdMaps) {
    try {
      const namespaceFd = namespaceOf(maps);
      const mapped = overlay.lowerDirs.filter((lowerDir) => !hasHostIds(lowerDir, maps));
      const names = new Map<string, string>();
      if (mapped.length > 0) this.#cloneAll(mapped, namespaceFd, names);
      const lowerDirs = overlay.lowerDirs.map((lowerDir) => names.get(lowerDir) ?? lowerDir);
      this.overlay = { ...overlay, lowerDirs, idMaps: undefined };
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** One clone serves all that lie on one mount; the mounts of image stores may be others. */
  #cloneAll(lowerDirs: readonly string[], namespaceFd: number, names: Map<string, string>): void {
    const places = lowerDirs.map(realPathOf);
    const top = commonDirectory(places);
    const common = this.#clone(top, namespaceFd);
    for (const [i, lowerDir] of lowerDirs.entries()) {
      const name = `${common}/${places[i]!.slice(top.length) || "."}`.replace("//", "/");
      names.set(lowerDir, isSameDirectory(name, lowerDir) ? name : `${this.#clone(lowerDir, namespaceFd)}/.`);
    }
  }

  /** The name of a clone of the mount that `path` lies on, from there on. */
  #clone(path: string, namespaceFd: number): string {
    const clone = this.#undo.use(new Fd(cloneTree(path)));
    setIdMap(clone, namespaceFd, path);
    this.#clones.push(clone);
    return `${processDirectory()}/fd/${clone.fd}`;
  }

  /**
   * Attaches the clones at new directories in `directory`, until this is disposed: kernels before Linux 6.15 give overlayfs
   * only what is attached.
   */
  attach(directory: string): void {
    for (const clone of this.#clones) {
      const target = `${directory}/.id-mapped-${randomId(10)}`;
      mkdirat(AT_FDCWD, target, MOUNT_POINT_MODE);
      this.#undo.defer(() => void tryUnlinkat(AT_FDCWD, target, AT_REMOVEDIR));
      move_mount(clone.fd, target);
      this.#undo.defer(() => umount2(target, MNT_DETACH));
    }
  }

  [Symbol.dispose](): void {
    this.#undo.dispose();
  }
}

/**
 * Makes sure that what is written to `upperDir` through a mount with `maps` has a root that belongs to the container.
 *
 * @throws {StorageError} `invalid_argument`.
 */
export function requireHostIds(upperDir: string, { uidMaps, gidMaps }: IdMaps): void {
  const { uid, gid } = statat(AT_FDCWD, upperDir);
  if (isCovered(uid, uidMaps, "hostId") && isCovered(gid, gidMaps, "hostId")) return;
  throw new StorageError(
    "invalid_argument",
    `Cannot write to ${upperDir} under other ids: it belongs to ${uid}:${gid}, which is nobody in the id maps`,
    { hint: "make the layer with the same maps (lamina create --uid-map …), or mount it with --read-only" },
  );
}

/** Whether the directory was made to be written to under the host's ids. An id that may be either is the container's. */
function hasHostIds(path: string, { uidMaps, gidMaps }: IdMaps): boolean {
  const { uid, gid } = statat(AT_FDCWD, path);
  const [id, maps] = uidMaps.length > 0 ? [uid, uidMaps] : [gid, gidMaps];
  const root = maps.find(({ containerId }) => containerId === 0)?.hostId;
  if (id === root) return root !== 0;
  return isCovered(id, maps, "hostId") && !isCovered(id, maps, "containerId");
}

function isCovered(id: number, maps: readonly IdMap[], side: "containerId" | "hostId"): boolean {
  return maps.length === 0 || maps.some((map) => id >= map[side] && id < map[side] + map.size);
}

function cloneTree(path: string): number {
  try {
    return open_tree(path);
  } catch (cause) {
    if (!isErrno(cause, "ENOSYS")) throw cause;
    throw notSupported("this kernel has no open_tree(2)", "Linux 5.19 is the first that can", cause);
  }
}

function setIdMap(clone: Fd, namespaceFd: number, path: string): void {
  try {
    mount_setattr_idmap(clone.fd, namespaceFd);
  } catch (cause) {
    if (isErrno(cause, "ENOSYS")) {
      throw notSupported("this kernel has no mount_setattr(2)", "Linux 5.19 is the first that can", cause);
    }
    if (isErrno(cause, "EINVAL")) {
      const hint =
        "ext4, XFS, btrfs and others can, tmpfs since Linux 6.3; `lamina remap` changes the owners of a layer's files";
      throw notSupported(`the file system of ${path} (${statfs(path).name}) maps no ids`, hint, cause);
    }
    if (!isErrno(cause, "EPERM")) throw cause;
    const hint =
      "it takes CAP_SYS_ADMIN in the user namespace in which the file system was mounted, and a mount that is " +
      "not id-mapped itself";
    throw notSupported(`the kernel does not allow it for the file system of ${path}`, hint, cause);
  }
}

/** The error for what cannot be mounted with id maps. */
export function notSupported(reason: string, hint: string, cause?: unknown): StorageError {
  return new StorageError("not_supported", `Cannot show files under other ids: ${reason}`, { cause, hint });
}

function realPathOf(path: string): string {
  using directory = new Fd(openat(AT_FDCWD, path, O_PATH | O_DIRECTORY));
  return textOf(readlinkat(AT_FDCWD, `/proc/self/fd/${directory.fd}`));
}

/** This process as all others see it that have the same /proc. */
function processDirectory(): string {
  return `/proc/${textOf(readlinkat(AT_FDCWD, "/proc/self"))}`;
}

/** The deepest directory that is one of `paths`, or holds those that it is not. */
function commonDirectory(paths: readonly string[]): string {
  let common = paths[0]!.split("/");
  for (const path of paths) {
    const names = path.split("/");
    const differs = common.findIndex((name, i) => name !== names[i]);
    if (differs !== -1) common = common.slice(0, differs);
  }
  return common.join("/") || "/";
}

function isSameDirectory(a: string, b: string): boolean {
  const [first, second] = [new Stat(), new Stat()];
  return tryStatx(AT_FDCWD, a, 0, first) === 0 && tryStatx(AT_FDCWD, b, 0, second) === 0 && first.isSameFile(second);
}

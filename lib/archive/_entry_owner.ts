// SPDX-License-Identifier: Apache-2.0

/**
 * Owners of entries, and what else in them names ids: given to files, and mapped between a container and its host. An id
 * that no map covers is an error that names the entry.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { fchown, lchownat } from "../../ffi/owner.ts";
import { getegid, geteuid } from "../../ffi/process.ts";
import { isStorageError, StorageError } from "../errors.ts";
import { type IdMaps, toContainer, toHost } from "../id_map.ts";
import { type ByteString, textOfBytes } from "../util/byte_string.ts";
import { namesIds, withIds } from "./_id_xattrs.ts";
import type { TarEntry } from "./header.ts";

/** A user and a group. */
export interface Ids {
  readonly uid: number;
  readonly gid: number;
}

/** Gives files to their owners. */
export class EntryOwners {
  readonly #uid = geteuid();
  readonly #gid = getegid();
  #unset = 0;

  /** @param ignoresErrors Whether owners that cannot be set are passed over. */
  constructor(readonly ignoresErrors: boolean) {}

  /** How many files have not got their owner. */
  get unset(): number {
    return this.#unset;
  }

  /** Whether what is made in `parent` has another owner than `ids`. */
  needs({ uid, gid }: Ids, parent: { isSetgid: boolean }): boolean {
    return uid !== this.#uid || gid !== this.#gid || parent.isSetgid;
  }

  /** Gives away a name in an open directory. */
  give(dirfd: number, leaf: string | Uint8Array, { uid, gid }: Ids): void {
    if (!this.ignoresErrors) lchownat(dirfd, leaf, uid, gid);
    else this.#try(() => lchownat(dirfd, leaf, uid, gid));
  }

  /** Gives away an open file. */
  giveOpen(fd: number, { uid, gid }: Ids): void {
    if (!this.ignoresErrors) fchown(fd, uid, gid);
    else this.#try(() => fchown(fd, uid, gid));
  }

  #try(chown: () => void): void {
    try {
      chown();
    } catch (error) {
      // Not allowed; no number for it in this user namespace; no owners on this file system.
      if (!isErrno(error, "EPERM", "EACCES", "EINVAL", "EOPNOTSUPP", "ENOSYS")) throw error;
      this.#unset++;
    }
  }
}

/** Gives `entry`, which has the container's ids, those of the host. */
export function mapOwnerToHost(entry: TarEntry, maps: IdMaps): void {
  mapOwner(entry, maps, toHost, "unpack");
}

/** Gives `entry`, which has the host's ids, those of the container. */
export function mapOwnerToContainer(entry: TarEntry, maps: IdMaps): void {
  mapOwner(entry, maps, toContainer, "archive");
}

/** As {@linkcode mapOwnerToContainer}, of attributes of the file `path`. */
export function mapXattrsToContainer(
  xattrs: Map<ByteString, Uint8Array<ArrayBuffer>>,
  path: ByteString,
  maps: IdMaps,
): void {
  named(path, "archive", () => mapXattrs(xattrs, maps, toContainer));
}

function mapOwner(entry: TarEntry, maps: IdMaps, map: typeof toHost, verb: string): void {
  named(entry.unsafePath, verb, () => {
    entry.uid = map(entry.uid, maps.uidMaps);
    entry.gid = map(entry.gid, maps.gidMaps);
    if (entry.xattrs === undefined) return;
    // Entries may share what their archive says of all of them.
    entry.xattrs = new Map(entry.xattrs);
    mapXattrs(entry.xattrs, maps, map);
  });
}

function mapXattrs(
  xattrs: Map<ByteString, Uint8Array<ArrayBuffer>>,
  { uidMaps, gidMaps }: IdMaps,
  map: typeof toHost,
): void {
  const ids = { uid: (uid: number): number => map(uid, uidMaps), gid: (gid: number): number => map(gid, gidMaps) };
  for (const [name, value] of xattrs) if (namesIds(name)) xattrs.set(name, withIds(name, value, ids));
}

function named(path: ByteString, verb: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!isStorageError(error)) throw error;
    throw new StorageError(error.code, `Cannot ${verb} "${textOfBytes(path)}": ${error.message}`, { cause: error });
  }
}

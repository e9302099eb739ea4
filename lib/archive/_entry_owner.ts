// SPDX-License-Identifier: Apache-2.0

/**
 * Owners of entries, mapped between a container and its host. An id that no map covers is an error that names the entry.
 *
 * @module
 */

import { isStorageError, StorageError } from "../errors.ts";
import { type IdMaps, toContainer, toHost } from "../id_map.ts";
import { textOfBytes } from "../util/byte_string.ts";
import type { TarEntry } from "./header.ts";

/** Gives `entry`, which has the container's ids, those of the host. */
export function mapOwnerToHost(entry: TarEntry, maps: IdMaps): void {
  mapOwner(entry, maps, toHost, "unpack");
}

/** Gives `entry`, which has the host's ids, those of the container. */
export function mapOwnerToContainer(entry: TarEntry, maps: IdMaps): void {
  mapOwner(entry, maps, toContainer, "archive");
}

function mapOwner(entry: TarEntry, { uidMaps, gidMaps }: IdMaps, map: typeof toHost, verb: string): void {
  try {
    entry.uid = map(entry.uid, uidMaps);
    entry.gid = map(entry.gid, gidMaps);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    throw new StorageError(error.code, `Cannot ${verb} "${textOfBytes(entry.unsafePath)}": ${error.message}`, {
      cause: error,
    });
  }
}

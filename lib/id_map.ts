// SPDX-License-Identifier: Apache-2.0

/**
 * User and group ids between a container and its host, as user_namespaces(7) maps them.
 *
 * @module
 */

import { StorageError } from "./errors.ts";

/** One run of ids: `containerId`, `containerId + 1`, … are `hostId`, `hostId + 1`, … on the host. */
export interface IdMap {
  /** First id inside. */
  containerId: number;
  /** First id on the host. */
  hostId: number;
  /** How many ids. */
  size: number;
}

/** The maps of both kinds of id. No maps at all means that ids are the same inside and out. */
export interface IdMaps {
  /** Users. */
  uidMaps: readonly IdMap[];
  /** Groups. */
  gidMaps: readonly IdMap[];
}

type Side = "containerId" | "hostId";

function mapped(id: number, maps: readonly IdMap[], from: Side, to: Side): number | undefined {
  if (maps.length === 0) return id;
  for (const map of maps) {
    const offset = id - map[from];
    if (offset >= 0 && offset < map.size) return map[to] + offset;
  }
  return undefined;
}

function required(id: number | undefined, from: number, side: string): number {
  if (id !== undefined) return id;
  throw new StorageError("invalid_argument", `Cannot map id ${from}: no map covers this ${side} id`);
}

/** The host's id for a container's. */
export function toHost(id: number, maps: readonly IdMap[]): number {
  return required(mapped(id, maps, "containerId", "hostId"), id, "container");
}

/** The container's id for a host's. */
export function toContainer(id: number, maps: readonly IdMap[]): number {
  return required(tryToContainer(id, maps), id, "host");
}

/** The container's id for a host's; undefined where no map covers it. */
export function tryToContainer(id: number, maps: readonly IdMap[]): number | undefined {
  return mapped(id, maps, "hostId", "containerId");
}

/** The host ids of the container's root, who owns the directories of a new layer. */
export function rootPair(maps: IdMaps | undefined): { uid: number; gid: number } {
  if (maps === undefined) return { uid: 0, gid: 0 };
  return { uid: toHost(0, maps.uidMaps), gid: toHost(0, maps.gidMaps) };
}

const ID_MAP_REGEXP = /^(\d+):(\d+):(\d+)$/;
const LARGEST_ID = 0xffffffff;

/**
 * Parses `CONTAINER:HOST:SIZE`.
 *
 * @throws {StorageError} `invalid_argument`: another form, a size of 0, or ids past 2^32 - 1.
 */
export function parseIdMap(text: string): IdMap {
  const match = ID_MAP_REGEXP.exec(text);
  const [containerId, hostId, size] = (match ?? []).slice(1).map(Number) as [number, number, number];
  if (match === null || size === 0 || containerId + size > LARGEST_ID || hostId + size > LARGEST_ID) {
    throw new StorageError("invalid_argument", `Cannot read ${JSON.stringify(text)} as an id map`, {
      hint: "write CONTAINER:HOST:SIZE, three numbers below 2^32: 0:100000:65536",
    });
  }
  return { containerId, hostId, size };
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The options that say between which ids of a container and of the host is mapped: `--uid-map`, `--gid-map`, or `--map-user`
 * for somebody's subordinate ids.
 *
 * @module
 */

import { type IdMap, type IdMaps, parseIdMap } from "../id_map.ts";
import { isStorageError, StorageError } from "../errors.ts";
import { readSubordinateIds, remapIdMaps } from "../subordinate_ids.ts";
import type { CommandName } from "./usage.ts";
import { UsageError } from "./usage_error.ts";
import type { Words } from "./words.ts";

/** Id maps as words give them: the maps, or whose subordinate ids they are. */
export type IdMapWords = IdMaps | { readonly user: string };

/** Reads the options. As with newuidmap's callers: who gives one kind of map means it for both. */
export function readIdMaps(words: Words, command: CommandName, prefix = ""): IdMapWords | undefined {
  const uidMaps = readMaps(words, command, `${prefix}uid-map`);
  const gidMaps = readMaps(words, command, `${prefix}gid-map`);
  const user = words.value(`${prefix}map-user`);
  const hasMaps = uidMaps.length > 0 || gidMaps.length > 0;
  if (user !== undefined) {
    if (hasMaps) {
      throw new UsageError(`--${prefix}map-user and --${prefix}uid-map or --${prefix}gid-map exclude each other`, {
        command,
      });
    }
    return { user };
  }
  if (!hasMaps) return undefined;
  return {
    uidMaps: uidMaps.length === 0 ? gidMaps : uidMaps,
    gidMaps: gidMaps.length === 0 ? uidMaps : gidMaps,
  };
}

function readMaps(words: Words, command: CommandName, name: string): IdMap[] {
  try {
    return words.values(name).map(parseIdMap);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    throw new UsageError(`option --${name}: ${error.message}`, { command, hint: error.hint });
  }
}

/** {@linkcode idMapsOf}, as a part of options that has no maps where there are none. */
export function idMapsOption(asked: IdMapWords | undefined): { idMaps?: IdMaps } {
  return asked === undefined ? {} : { idMaps: idMapsOf(asked) };
}

/**
 * The maps, which for a user are in /etc/subuid and /etc/subgid: as with dockerd's `--userns-remap`, root inside is the first
 * of the user's subordinate ids.
 *
 * @throws {StorageError} `not_supported`: the user has none; `invalid_argument`: a line of the user.
 */
export function idMapsOf(asked: IdMapWords): IdMaps {
  if (!("user" in asked)) return asked;
  const { user } = asked;
  const owner = /^\d+$/.test(user) ? { uid: Number(user) } : { name: user };
  try {
    return remapIdMaps(readSubordinateIds(owner));
  } catch (error) {
    if (!isStorageError(error, "not_supported")) throw error;
    throw new StorageError(error.code, `Cannot take the ids of "${user}": ${error.message}`, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}

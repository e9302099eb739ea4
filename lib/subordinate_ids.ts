// SPDX-License-Identifier: Apache-2.0

/**
 * Ids that an administrator gave a user besides the user's own, for the inhabitants of containers: subuid(5) and subgid(5).
 * A line is `OWNER:FIRST:COUNT`; the owner is a user's name or number, in both files, and may have several lines.
 *
 * Lines of other users are not judged: a mistake in one of them is theirs. What is wrong with a user's own lines is told
 * by file and line before anything is mapped, because the kernel would say EINVAL for the whole map.
 *
 * @module
 */

import { StorageError } from "./errors.ts";
import type { IdMap, IdMaps } from "./id_map.ts";

/** A user as the files may name one; one of both is enough. */
export interface SubordinateOwner {
  /** The user's name. */
  name?: string | undefined;
  /** The user's number, which no range of users may contain. */
  uid?: number | undefined;
  /** The number of the user's group, which no range of groups may contain. */
  gid?: number | undefined;
}

/** Some ids of the host in a row. */
export interface SubordinateRange {
  /** The lowest one. */
  first: number;
  /** How many. */
  size: number;
}

/** The ranges of one user. */
export interface SubordinateIds {
  /** In the order of `/etc/subuid`. */
  uids: readonly SubordinateRange[];
  /** In the order of `/etc/subgid`. */
  gids: readonly SubordinateRange[];
}

/** The files that administrators write, and useradd(8). */
export const SUBORDINATE_ID_FILES = { uids: "/etc/subuid", gids: "/etc/subgid" } as const;

/** 2^32 - 1 stands for no id. */
const LARGEST_ID = 0xfffffffe;
const FIELDS_REGEXP = /^[^:]*:(\d{1,10}):(\d{1,10})$/;

/**
 * The ranges of `owner` in both files. A file that is not there gives none.
 *
 * @throws {StorageError} `invalid_argument`: a line of this user; `permission_denied`: the file cannot be read.
 */
export function readSubordinateIds(
  owner: SubordinateOwner,
  files: { readonly uids: string; readonly gids: string } = SUBORDINATE_ID_FILES,
): SubordinateIds {
  return {
    uids: readRanges(files.uids, owner, owner.uid),
    gids: readRanges(files.gids, owner, owner.gid),
  };
}

function readRanges(file: string, owner: SubordinateOwner, ownId: number | undefined): SubordinateRange[] {
  let text: string;
  try {
    text = Deno.readTextFileSync(file);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return [];
    const code = cause instanceof Deno.errors.PermissionDenied ? "permission_denied" : "system_error";
    throw new StorageError(code, `Cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
  return parseSubordinateIds(text, file, owner, ownId);
}

/**
 * The ranges of `owner` in the text of one file, in its order.
 *
 * @param file Its name, for errors.
 * @param ownId The user's own id of the kind that the file is about, where it is known.
 * @throws {StorageError} `invalid_argument`: a line of this user that is not `OWNER:FIRST:COUNT`, of no ids, of ids past
 * 2^32 - 2, with root's or the user's own id among them, or with an id of another line.
 */
export function parseSubordinateIds(
  text: string,
  file: string,
  owner: SubordinateOwner,
  ownId?: number,
): SubordinateRange[] {
  const ranges: (SubordinateRange & { line: number })[] = [];
  for (const [i, content] of text.split("\n").entries()) {
    if (!isOwnedBy(content, owner)) continue;
    const line = i + 1;
    const refuse = (reason: string): StorageError =>
      new StorageError(
        "invalid_argument",
        `Cannot use line ${line} of ${file}, ${JSON.stringify(content)}: ${reason}`,
        {
          hint: `correct the line; usermod --del-subuids and --add-subuids (--del-subgids, --add-subgids) do so`,
        },
      );
    const fields = FIELDS_REGEXP.exec(content);
    if (fields === null) throw refuse("it is not OWNER:FIRST:COUNT");
    const range = { first: Number(fields[1]), size: Number(fields[2]), line };
    if (range.size === 0) throw refuse("it has no ids");
    if (lastOf(range) > LARGEST_ID) throw refuse(`there is no id past ${LARGEST_ID}`);
    if (contains(range, 0)) throw refuse("0 is root's id on the host");
    if (ownId !== undefined && contains(range, ownId)) throw refuse(`${ownId} is the user's own id`);
    const other = ranges.find(({ first, size }) => contains(range, first) || contains({ first, size }, range.first));
    if (other !== undefined) throw refuse(`line ${other.line} has some of its ids as well`);
    ranges.push(range);
  }
  return ranges.map(({ first, size }) => ({ first, size }));
}

function isOwnedBy(line: string, { name, uid }: SubordinateOwner): boolean {
  const field = line.split(":", 1)[0]!;
  return field !== "" && (field === name || uid !== undefined && field === String(uid));
}

function lastOf({ first, size }: SubordinateRange): number {
  return first + size - 1;
}

function contains(range: SubordinateRange, id: number): boolean {
  return id >= range.first && id <= lastOf(range);
}

/**
 * Maps for containers without any id of their user's: root inside is the first subordinate id, as with dockerd's
 * `--userns-remap`.
 *
 * @throws {StorageError} `not_supported`: the user has no subordinate ids of a kind.
 */
export function remapIdMaps(ids: SubordinateIds): IdMaps {
  for (const kind of ["uids", "gids"] as const) {
    if (ids[kind].length > 0) continue;
    throw new StorageError("not_supported", `Cannot map ids: the user has no line in ${SUBORDINATE_ID_FILES[kind]}`, {
      hint: "give the user some: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER",
    });
  }
  return { uidMaps: inARow(ids.uids, 0), gidMaps: inARow(ids.gids, 0) };
}

/**
 * Maps for a user's own namespace: root inside is the user, then come the subordinate ids, as with Podman.
 *
 * @param uid The user's number.
 * @param gid The number of the user's group.
 */
export function rootlessIdMaps(uid: number, gid: number, ids: SubordinateIds): IdMaps {
  return {
    uidMaps: [{ containerId: 0, hostId: uid, size: 1 }, ...inARow(ids.uids, 1)],
    gidMaps: [{ containerId: 0, hostId: gid, size: 1 }, ...inARow(ids.gids, 1)],
  };
}

/** The ranges one after the other, from `containerId` on. */
function inARow(ranges: readonly SubordinateRange[], containerId: number): IdMap[] {
  let next = containerId;
  return ranges.map(({ first, size }) => {
    const map = { containerId: next, hostId: first, size };
    next += size;
    return map;
  });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * A mounted layer's files under other owners: those that one set of id maps gives them become those of another. Only
 * owners change: setuid bits and capabilities, which chown(2) takes away, come back, ACLs name the same users, times stay.
 *
 * In an overlay each change copies a file up, and of several names that are one file below only that one. The others
 * are linked to it again.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import { failure } from "../../ffi/errno.ts";
import { Fd, linkat, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat, tryUnlinkat } from "../../ffi/file.ts";
import { lchmodat, lchownat, lmtimeat } from "../../ffi/owner.ts";
import { fstat, lstatat, S_ISGID, S_ISUID, Stat } from "../../ffi/stat.ts";
import { lgetxattr, llistxattr, lsetxattr } from "../../ffi/xattr.ts";
import { StorageError } from "../errors.ts";
import { type IdMap, type IdMaps, toContainer, toHost } from "../id_map.ts";
import { type ByteString, byteString, CName, textOfBytes } from "../util/byte_string.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";
import { namesIds, withIds } from "./_id_xattrs.ts";
import { MOST_LEVELS } from "./limits.ts";

/** Between which maps files change. Without maps ids are the same inside and out. */
export interface ShiftOptions {
  from: IdMaps | undefined;
  to: IdMaps | undefined;
  control?: WorkControl;
}

/**
 * Gives everything in the open directory `rootFd`, itself included, to other owners.
 *
 * @throws {StorageError} `invalid_argument`: an id that one of the maps does not cover; `limit_exceeded` for directories
 * nested too deep; `aborted`. {SyscallError} What cannot be read or changed. What was changed until then stays so.
 */
export function shiftOwners(rootFd: number, options: ShiftOptions): void {
  new OwnerShifter(rootFd, options).run();
}

class OwnerShifter {
  /** Of each file with several names that has been given away: where its first name is. */
  readonly #firstNames = new Map<string, ByteString>();
  readonly #leaf = new CName();
  readonly #place = new CName();
  readonly #control: WorkControl;
  readonly #ids = {
    uid: (uid: number): number => this.#shift(uid, "uidMaps"),
    gid: (gid: number): number => this.#shift(gid, "gidMaps"),
  };
  #entries = 0;

  constructor(readonly rootFd: number, readonly options: ShiftOptions) {
    this.#control = options.control ?? UNWATCHED;
  }

  run(): void {
    using root = openDirectory(this.rootFd, ".");
    const stat = fstat(root.fd);
    this.#walk(root.fd, "", 0);
    this.#give(root.fd, ".", "", stat);
    lmtimeat(root.fd, ".", stat.mtimeSeconds, stat.mtimeNanoseconds);
  }

  #walk(fd: number, prefix: ByteString, level: number): void {
    if (level > MOST_LEVELS) {
      throw new StorageError(
        "limit_exceeded",
        `Cannot give away "${textOfBytes(prefix.slice(0, 100))}…": its directories are more than ${MOST_LEVELS} deep`,
      );
    }
    const names: ByteString[] = [];
    readDirectory(fd, (buffer, start, end) => names.push(byteString(buffer, start, end)));
    for (const name of names) {
      this.#control.tick(++this.#entries, 0);
      const stat = lstatat(fd, this.#leaf.fill(name), new Stat());
      const path = prefix + name;
      if (!stat.isDirectory) this.#shiftFile(fd, name, path, stat);
      else {
        using directory = openDirectory(fd, this.#leaf.fill(name));
        this.#walk(directory.fd, `${path}/`, level + 1);
        this.#give(fd, name, path, stat);
        // Names that were linked again changed it.
        lmtimeat(fd, this.#leaf.fill(name), stat.mtimeSeconds, stat.mtimeNanoseconds);
      }
    }
  }

  #shiftFile(fd: number, name: ByteString, path: ByteString, stat: Stat): void {
    const key = stat.nlink > 1 ? stat.fileKey : undefined;
    const first = key === undefined ? undefined : this.#firstNames.get(key);
    if (first !== undefined) {
      const leaf = this.#leaf.fill(name);
      const result = tryUnlinkat(fd, leaf);
      if (result < 0) throw failure(-result, "unlinkat", fd, leaf);
      linkat(this.rootFd, this.#place.fill(first), fd, leaf);
    } else if (this.#give(fd, name, path, stat) && key !== undefined) this.#firstNames.set(key, path);
  }

  /** Whether the file has another owner now. */
  #give(fd: number, name: ByteString, path: ByteString, stat: Stat): boolean {
    const { uid, gid } = this.#ownerOf(stat, path);
    if (uid === stat.uid && gid === stat.gid) return false;
    const place = this.#place.fill(`/proc/self/fd/${fd}/${name}`);
    const xattrs = this.#shiftedXattrs(place);
    const leaf = this.#leaf.fill(name);
    lchownat(fd, leaf, uid, gid);
    for (const [xattr, value] of xattrs) lsetxattr(place, xattr, value);
    if (!stat.isSymlink && (stat.mode & (S_ISUID | S_ISGID)) !== 0) lchmodat(fd, leaf, stat.mode & 0o7777);
    return true;
  }

  #ownerOf({ uid, gid }: Stat, path: ByteString): { uid: number; gid: number } {
    try {
      return { uid: this.#ids.uid(uid), gid: this.#ids.gid(gid) };
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      throw new StorageError(error.code, `Cannot give away "${textOfBytes(path)}": ${error.message}`, {
        cause: error,
        hint: "give maps that cover all owners in the layer",
      });
    }
  }

  #shift(id: number, kind: keyof IdMaps): number {
    const { from, to } = this.options;
    // The kernel and other tools leave files of the host's root in any layer.
    const inside = from === undefined || id === 0 && isOutside(id, from[kind]) ? id : toContainer(id, from[kind]);
    return to === undefined ? inside : toHost(inside, to[kind]);
  }

  /** The attributes that chown(2) takes away, or that name ids themselves. */
  #shiftedXattrs(place: Uint8Array): [string, Uint8Array][] {
    const xattrs: [string, Uint8Array][] = [];
    for (const name of llistxattr(place)) {
      const value = namesIds(name) ? lgetxattr(place, name) : undefined;
      if (value !== undefined) xattrs.push([name, withIds(name, value, this.#ids)]);
    }
    return xattrs;
  }
}

function isOutside(id: number, maps: readonly IdMap[]): boolean {
  return maps.length > 0 && !maps.some(({ hostId, size }) => id >= hostId && id < hostId + size);
}

function openDirectory(dirfd: number, path: string | Uint8Array): Fd {
  return new Fd(openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Owner, mode and type of a file that has others on disk: in the attribute `user.containers.override_stat`, as
 * `UID:GID:MODE:TYPE`. containers/storage keeps them there with the option `force_mask`, for stores that others
 * read or that lie where owners cannot be set, and fuse-overlayfs shows files as the attribute says.
 *
 * Files and directories have it. A symbolic link cannot; it has its own owner where that can be set. Devices and fifos
 * are empty files on disk.
 *
 * Who can write to a file can write its attribute, and make it root's. So it is read only where the store's options
 * tell that every file has one, and never taken from an archive.
 *
 * @module
 */

import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, type Stat } from "../../ffi/stat.ts";
import { fgetxattr, lgetxattr } from "../../ffi/xattr.ts";
import { StorageError } from "../errors.ts";
import { bytesOfText, type ByteString, byteString, CName, textOfBytes } from "../util/byte_string.ts";
import { IMPLIED_MODE } from "./_directories.ts";
import { type TarEntry, TypeFlag } from "./header.ts";

/** The attribute. */
export const OVERRIDE_STAT = "user.containers.override_stat";
/** What fuse-overlayfs writes when a file is changed through it: it says more than the other, which stays. */
const CHANGED_STAT = "user.fuseoverlayfs.override_stat";

/** Ids and modes as they go into the attribute. */
export interface RealStat {
  uid: number;
  gid: number;
  /** Type and permission bits. */
  mode: number;
  rdevMajor: number;
  rdevMinor: number;
}

/** The attribute's value. */
export function overrideStatOf({ uid, gid, mode, rdevMajor, rdevMinor }: RealStat): Uint8Array<ArrayBuffer> {
  const type = mode & S_IFMT;
  const device = type === S_IFBLK || type === S_IFCHR ? `-${rdevMajor}-${rdevMinor}` : "";
  const permissions = (mode & 0o7777).toString(8).padStart(4, "0");
  return new Uint8Array(new TextEncoder().encode(`${uid}:${gid}:${permissions}:${TYPE_WORDS.get(type)}${device}`));
}

const TYPE_WORDS: ReadonlyMap<number, string> = new Map([
  [S_IFREG, "file"],
  [S_IFDIR, "dir"],
  [S_IFIFO, "pipe"],
  [S_IFSOCK, "socket"],
  [S_IFBLK, "block"],
  [S_IFCHR, "char"],
]);

/** What an empty file can stand for. */
const STAND_INS: Readonly<Record<string, number>> = {
  pipe: S_IFIFO,
  socket: S_IFSOCK,
  block: S_IFBLK,
  char: S_IFCHR,
};

/** Older versions write no type, and fuse-overlayfs -1 for an id that chown(2) left as it was. */
const VALUE_REGEXP =
  /^(-1|\d{1,10}):(-1|\d{1,10}):([0-7]{1,6})(?::(?:(file|dir|symlink|pipe|socket)|(block|char)-(\d{1,7})-(\d{1,7})))?$/;
const LARGEST_ID = 0xffffffff;

/** Has `stat` tell what `value`, its file's attribute, says; without a value it stays as it is. */
function override(stat: Stat, value: Uint8Array | undefined, path: ByteString): void {
  if (value === undefined) return;
  const text = byteString(value);
  const match = VALUE_REGEXP.exec(text);
  const uid = match?.[1] === "-1" ? stat.uid : Number(match?.[1]);
  const gid = match?.[2] === "-1" ? stat.gid : Number(match?.[2]);
  const [rdevMajor, rdevMinor] = [Number(match?.[6] ?? stat.rdevMajor), Number(match?.[7] ?? stat.rdevMinor)];
  const isWhiteout = match?.[5] === "char" && rdevMajor === 0 && rdevMinor === 0;
  if (match === null || uid > LARGEST_ID || gid > LARGEST_ID || isWhiteout) {
    throw new StorageError(
      "store_damaged",
      `Cannot tell owner and mode of "${textOfBytes(path)}": its attribute override_stat is ${
        JSON.stringify(text.slice(0, 80))
      }`,
      { hint: "write UID:GID:MODE:TYPE there (setfattr), or open the store without force_mask" },
    );
  }
  const standIn = stat.isFile ? STAND_INS[match[4] ?? match[5] ?? ""] : undefined;
  const type = standIn ?? stat.mode & S_IFMT;
  stat.replace({ uid, gid, mode: type | Number.parseInt(match[3]!, 8) & 0o7777, rdevMajor, rdevMinor });
}

/** Has `stat`, which tells of the open file `fd`, tell what the file's attribute says. */
export function overrideOpen(fd: number, stat: Stat, path: ByteString): void {
  override(stat, fgetxattr(fd, OVERRIDE_STAT), path);
  override(stat, fgetxattr(fd, CHANGED_STAT), path);
}

/** As {@linkcode overrideOpen}, for a name in an open directory. */
export function overrideName(dirfd: number, stat: Stat, name: ByteString): void {
  // No attribute of the kind can be set on anything else.
  if (!stat.isFile && !stat.isDirectory) return;
  const place = new CName().fill(`/proc/self/fd/${dirfd}/${name}`);
  override(stat, lgetxattr(place, OVERRIDE_STAT), name);
  override(stat, lgetxattr(place, CHANGED_STAT), name);
}

/** As {@linkcode overrideOpen}, for the directory `path`. */
export function overrideDirectory(path: string, stat: Stat): void {
  override(stat, lgetxattr(path, OVERRIDE_STAT), bytesOfText(path));
  override(stat, lgetxattr(path, CHANGED_STAT), bytesOfText(path));
}

const ENTRY_TYPES: ReadonlyMap<number, number> = new Map([
  [TypeFlag.FILE, S_IFREG],
  [TypeFlag.DIRECTORY, S_IFDIR],
  [TypeFlag.FIFO, S_IFIFO],
  [TypeFlag.BLOCK_DEVICE, S_IFBLK],
  [TypeFlag.CHARACTER_DEVICE, S_IFCHR],
]);

/** Entries of an archive as they go to disk below a mask. */
export class MaskedEntries {
  #value: Uint8Array<ArrayBuffer> | undefined;

  /** @param owner Whom everything belongs to on disk. */
  constructor(readonly mode: number, readonly owner: { uid: number; gid: number }) {}

  /** The attribute of the entry that was masked last; undefined if it gets none. */
  get value(): Uint8Array<ArrayBuffer> | undefined {
    return this.#value;
  }

  /** The attribute of a directory that no entry tells of: fuse-overlayfs fails where there is none. */
  get impliedValue(): Uint8Array<ArrayBuffer> {
    return overrideStatOf({ ...this.owner, mode: S_IFDIR | IMPLIED_MODE, rdevMajor: 0, rdevMinor: 0 });
  }

  /** Makes `entry` what is to be on disk. */
  mask(entry: TarEntry): void {
    const type = ENTRY_TYPES.get(entry.typeFlag);
    this.#value = undefined;
    if (type === undefined) return;
    const { uid, gid, mode, deviceMajor: rdevMajor, deviceMinor: rdevMinor } = entry;
    this.#value = overrideStatOf({ uid, gid, mode: type | mode, rdevMajor, rdevMinor });
    if (type !== S_IFDIR && type !== S_IFREG) {
      entry.typeFlag = TypeFlag.FILE;
      entry.size = 0;
    }
    entry.mode = this.mode;
    entry.uid = this.owner.uid;
    entry.gid = this.owner.gid;
    // So that there are attributes to set.
    entry.xattrs ??= new Map();
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Whether two files of the same name differ, by Docker's rules or, on request, by stricter ones.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { Fd, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, openat, read, readlinkat } from "../../ffi/file.ts";
import { S_IFLNK, S_IFMT, S_IFREG, type Stat } from "../../ffi/stat.ts";
import { lgetxattr } from "../../ffi/xattr.ts";
import { type IdMaps, tryToContainer } from "../id_map.ts";
import { type ByteString, CName } from "../util/byte_string.ts";
import { type ExportedXattrs, SourceXattrs } from "./_source_xattrs.ts";
import { overrideName } from "./override_stat.ts";
import type { OverlayXattrNamespace } from "./whiteout.ts";
import type { XattrNamespace } from "./xattr_filter.ts";

/** What counts as a difference beside mode, owner, device, size, time and capability. */
export interface DifferenceRules {
  /** Also extended attributes: all that an archive would carry, or those of some namespaces. */
  xattrs?: boolean | readonly XattrNamespace[] | undefined;
  /** Owners and modes are in an attribute: see override_stat.ts. */
  overrideStat?: boolean | undefined;
  /** The newer files have the host's ids, the older ones the container's. */
  idMaps?: IdMaps | undefined;
  /** Fractions of a second count also where only one file has them. */
  exactTimes?: boolean | undefined;
  /** Also the bytes of files, and the targets of links, where nothing else differs. */
  content?: boolean | undefined;
}

/** A name in an open directory, and what statx(2) said of it. */
export interface Place {
  readonly fd: number;
  readonly stat: Stat;
}

const CHUNK_SIZE = 256 * 1024;

/** Compares files. */
export class FileComparer {
  readonly #xattrs: SourceXattrs | undefined;
  readonly #comparesContent: boolean;
  readonly #hasExactTimes: boolean;
  readonly #isMasked: boolean;
  readonly #idMaps: IdMaps | undefined;
  readonly #tick: () => void;
  readonly #path = new CName();
  #chunks: [Uint8Array, Uint8Array] | undefined;

  constructor(rules: DifferenceRules, overlayXattrs: OverlayXattrNamespace, tick: () => void) {
    const { xattrs = false, content = false } = rules;
    if (xattrs !== false) this.#xattrs = new SourceXattrs(overlayXattrs, xattrs === true ? undefined : xattrs);
    this.#comparesContent = content;
    this.#hasExactTimes = rules.exactTimes ?? false;
    this.#isMasked = rules.overrideStat ?? false;
    this.#idMaps = rules.idMaps;
    this.#tick = tick;
  }

  /** Whether `name` differs between two directories. */
  differs(newer: Place, older: Place, name: ByteString): boolean {
    this.unmask(newer, older, name);
    if (this.#idMaps !== undefined) giveContainerIds(newer.stat, this.#idMaps);
    if (statDiffers(newer.stat, older.stat, this.#hasExactTimes)) return true;
    // Whatever changes a file or an attribute changes this time, and nobody can set it back.
    if (newer.stat.isUnchangedSince(older.stat)) return false;
    if (this.xattrsDiffer(newer.fd, older.fd, name)) return true;
    return this.#comparesContent && this.#contentDiffers(newer, older, name);
  }

  /** Has both tell what they really are, if that is not what they are on disk. */
  unmask(newer: Place, older: Place, name: ByteString): void {
    if (!this.#isMasked) return;
    for (const { fd, stat } of [newer, older]) overrideName(fd, stat, name);
  }

  /** Whether the attributes that are looked at differ. */
  xattrsDiffer(newerFd: number, olderFd: number, name: ByteString): boolean {
    if (this.#xattrs === undefined) return !sameBytes(this.#capability(newerFd, name), this.#capability(olderFd, name));
    return !sameXattrs(this.#xattrs.ofName(newerFd, name), this.#xattrs.ofName(olderFd, name));
  }

  #capability(fd: number, name: ByteString): Uint8Array | undefined {
    return lgetxattr(this.#path.fill(`/proc/self/fd/${fd}/${name}`), "security.capability");
  }

  #contentDiffers(newer: Place, older: Place, name: ByteString): boolean {
    const leaf = this.#path.fill(name);
    const type = newer.stat.mode & S_IFMT;
    if (type === S_IFLNK) return !sameBytes(readlinkat(newer.fd, leaf), readlinkat(older.fd, leaf));
    if (type !== S_IFREG || newer.stat.size === 0) return false;
    const [a, b] = this.#chunks ??= [new Uint8Array(CHUNK_SIZE), new Uint8Array(CHUNK_SIZE)];
    // NONBLOCK: should the name have become a fifo meanwhile, opening it must not wait for somebody to write.
    const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
    using newFile = new Fd(openat(newer.fd, leaf, flags));
    using oldFile = new Fd(openat(older.fd, leaf, flags));
    for (;;) {
      const length = readFully(newFile.fd, a);
      if (readFully(oldFile.fd, b) !== length) return true;
      if (length === 0) return false;
      if (!sameBytes(a.subarray(0, length), b.subarray(0, length))) return true;
      this.#tick();
    }
  }
}

/** An owner that no map covers stays, and is another one than before. */
function giveContainerIds(stat: Stat, { uidMaps, gidMaps }: IdMaps): void {
  const { mode, rdevMajor, rdevMinor } = stat;
  const uid = tryToContainer(stat.uid, uidMaps) ?? stat.uid;
  const gid = tryToContainer(stat.gid, gidMaps) ?? stat.gid;
  stat.replace({ uid, gid, mode, rdevMajor, rdevMinor });
}

/** Fills `buffer` as far as the file goes. */
function readFully(fd: number, buffer: Uint8Array): number {
  let length = 0;
  while (length < buffer.length) {
    const count = read(fd, buffer.subarray(length));
    if (count === 0) break;
    length += count;
  }
  return length;
}

/**
 * Whether two files count as different, by Docker's rules: type, mode, owner or device; and, but for directories, size
 * or time of modification.
 */
export function statDiffers(a: Stat, b: Stat, hasExactTimes: boolean): boolean {
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid) return true;
  if (a.rdevMajor !== b.rdevMajor || a.rdevMinor !== b.rdevMinor) return true;
  if (a.isDirectory) return false;
  return a.size !== b.size || !sameTime(a, b, hasExactTimes);
}

/** A time without nanoseconds may be one that an archive cut off, and equals any time of its second, unless it is exact. */
export function sameTime(a: Stat, b: Stat, isExact: boolean): boolean {
  if (a.mtimeSeconds !== b.mtimeSeconds) return false;
  if (a.mtimeNanoseconds === b.mtimeNanoseconds) return true;
  return !isExact && (a.mtimeNanoseconds === 0 || b.mtimeNanoseconds === 0);
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Buffer.compare(a, b) === 0;
}

function sameXattrs(a: ExportedXattrs, b: ExportedXattrs): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.size !== b.size) return false;
  return [...a].every(([name, value]) => sameBytes(value, b.get(name)));
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The files that hard links of an archive join: files of the same archive, or files of the layers below, which are copied
 * up first, as overlayfs does when somebody links one.
 *
 * @module
 */

import { AT_SYMLINK_NOFOLLOW, Fd, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, openat, readlinkat } from "../../ffi/file.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, Stat, tryStatx } from "../../ffi/stat.ts";
import { lgetxattr, llistxattr } from "../../ffi/xattr.ts";
import { StorageError } from "../errors.ts";
import { type ByteString, byteString, CName, textOfBytes } from "../util/byte_string.ts";
import type { Directories, OpenDirectory } from "./_directories.ts";
import type { LayerMarks } from "./_layer_marks.ts";
import type { LowerName, Lowers } from "./_lowers.ts";
import { cleanPath, leafOf, parentOf } from "./entry_path.ts";
import { TarEntry, TypeFlag } from "./header.ts";
import { overrideName } from "./override_stat.ts";
import { isInsideAufsDirectory } from "./whiteout.ts";
import { isExportedXattr } from "./xattr_filter.ts";

/** A file that is there to be linked. */
export interface LinkTarget {
  path: ByteString;
  directory: OpenDirectory;
}

/** Makes what `entry` says at `path`; a file's content is that of `content`. */
export type MakeEntry = (entry: TarEntry, path: ByteString, content: Fd | undefined) => void;

/** Where links lead. */
export class LinkTargets {
  readonly #directories: Directories;
  readonly #lowers: Lowers | undefined;
  readonly #marks: LayerMarks;
  readonly #isMasked: boolean;
  readonly #make: MakeEntry;
  readonly #leaf = new CName();
  readonly #stat = new Stat();

  /**
   * @param lowers The layers below; undefined if the tree shows them itself.
   * @param isMasked Whether files have their owners and modes in an attribute.
   */
  constructor(
    directories: Directories,
    lowers: Lowers | undefined,
    marks: LayerMarks,
    isMasked: boolean,
    make: MakeEntry,
  ) {
    this.#directories = directories;
    this.#lowers = lowers;
    this.#marks = marks;
    this.#isMasked = isMasked;
    this.#make = make;
  }

  /**
   * What the hard link at `path` joins.
   *
   * @throws {StorageError} `invalid_archive`: there is no such file, or it is a directory.
   */
  find(path: ByteString, unsafeTarget: ByteString): LinkTarget {
    const target = cleanPath(unsafeTarget);
    if (isInsideAufsDirectory(target)) throw badLink(path, target, "which aufs kept for itself");
    const directory = target === "" ? undefined : this.#findOwn(target) ?? this.#findBelow(target);
    if (directory === undefined) {
      throw badLink(path, target, "which is neither in this archive nor in the layers below");
    }
    if (this.#stat.isDirectory) throw badLink(path, target, "which is a directory");
    return { path: target, directory };
  }

  /** The directory of `target`, if it is in the tree; `#stat` then tells what it is. */
  #findOwn(target: ByteString): OpenDirectory | undefined {
    const directory = this.#directories.find(parentOf(target));
    if (directory === undefined) return undefined;
    const result = tryStatx(directory.fd, this.#leaf.fill(leafOf(target)), AT_SYMLINK_NOFOLLOW, this.#stat);
    return result < 0 || this.#stat.isOverlayWhiteout ? undefined : directory;
  }

  #findBelow(target: ByteString): OpenDirectory | undefined {
    if (this.#lowers === undefined || this.#isDeleted(target)) return undefined;
    using lower = this.#lowers.find(target);
    if (lower === undefined) return undefined;
    if (this.#isMasked) overrideName(lower.parent.fd, lower.stat, lower.leaf);
    if (!lower.stat.isDirectory) {
      this.#copyParents(target, this.#lowers);
      using content = openContent(lower);
      this.#make(entryOf(lower, target), target, content);
    }
    this.#stat.words.set(lower.stat.words);
    return this.#directories.require(parentOf(target));
  }

  /** Whether this archive deleted or replaced `target` or a directory it is in. */
  #isDeleted(target: ByteString): boolean {
    for (let path = target; path !== ""; path = parentOf(path)) {
      const directory = this.#directories.find(parentOf(path));
      if (directory === undefined) continue;
      const name = leafOf(path);
      if (this.#marks.isMarkedDeleted(directory.fd, name)) return true;
      if (tryStatx(directory.fd, this.#leaf.fill(name), AT_SYMLINK_NOFOLLOW, this.#stat) < 0) continue;
      if (!this.#stat.isDirectory) return true;
      if (this.#marks.isOpaqueName(directory.fd, name)) return true;
    }
    return false;
  }

  /** Makes the directories on the way to `target` as they are below. */
  #copyParents(target: ByteString, lowers: Lowers): void {
    const parent = parentOf(target);
    if (parent === "" || this.#directories.find(parent) !== undefined) return;
    this.#copyParents(parent, lowers);
    using lower = lowers.find(parent);
    if (!lower?.stat.isDirectory) return;
    if (this.#isMasked) overrideName(lower.parent.fd, lower.stat, lower.leaf);
    this.#make(entryOf(lower, parent), parent, undefined);
  }
}

const TYPES: ReadonlyMap<number, number> = new Map([
  [S_IFREG, TypeFlag.FILE],
  [S_IFDIR, TypeFlag.DIRECTORY],
  [S_IFLNK, TypeFlag.SYMLINK],
  [S_IFCHR, TypeFlag.CHARACTER_DEVICE],
  [S_IFBLK, TypeFlag.BLOCK_DEVICE],
  [S_IFIFO, TypeFlag.FIFO],
]);

function openContent({ parent, leaf, stat }: LowerName): Fd | undefined {
  if (!stat.isFile) return undefined;
  return new Fd(openat(parent.fd, new CName().fill(leaf), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
}

/** What an archive would say of the file. */
function entryOf({ parent, leaf, stat }: LowerName, path: ByteString): TarEntry {
  const typeFlag = TYPES.get(stat.mode & S_IFMT);
  if (typeFlag === undefined) {
    throw new StorageError("invalid_archive", `Cannot link "${textOfBytes(path)}" of a layer below: it is a socket`);
  }
  const entry = new TarEntry();
  entry.typeFlag = typeFlag;
  entry.unsafePath = path;
  entry.mode = stat.mode & 0o7777;
  entry.uid = stat.uid;
  entry.gid = stat.gid;
  entry.size = stat.isFile ? stat.size : 0;
  entry.mtimeSeconds = stat.mtimeSeconds;
  entry.mtimeNanoseconds = stat.mtimeNanoseconds;
  entry.deviceMajor = stat.rdevMajor;
  entry.deviceMinor = stat.rdevMinor;
  if (stat.isSymlink) entry.unsafeLinkPath = byteString(readlinkat(parent.fd, new CName().fill(leaf)));
  const place = new CName().fill(`/proc/self/fd/${parent.fd}/${leaf}`);
  for (const name of llistxattr(place)) {
    const value = isExportedXattr(name) ? lgetxattr(place, name) : undefined;
    if (value !== undefined) (entry.xattrs ??= new Map()).set(name, value);
  }
  return entry;
}

function badLink(path: ByteString, target: ByteString, why: string): StorageError {
  return new StorageError(
    "invalid_archive",
    `Cannot unpack "${textOfBytes(path)}": it is a hard link to "${textOfBytes(target)}", ${why}`,
  );
}

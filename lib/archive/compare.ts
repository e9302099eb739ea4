// SPDX-License-Identifier: Apache-2.0

/**
 * What changed between two trees: both are walked in step, name by name. Where only one layer's own directory has to be
 * looked at, changes.ts is faster; this one needs nothing but two trees as they are seen.
 *
 * @module
 */

import { DT_CHR, DT_DIR, DT_LNK, DT_REG, DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { ERRNO, failure } from "../../ffi/errno.ts";
import { AT_SYMLINK_NOFOLLOW, Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "../../ffi/file.ts";
import { fstat, Stat, tryStatx } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";
import { type ByteString, byteString, CName, textOfBytes } from "../util/byte_string.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";
import { type DifferenceRules, FileComparer, sameTime, statDiffers } from "./_differences.ts";
import { type PathChange, pathChanges } from "./path_change.ts";
import { MOST_LEVELS } from "./limits.ts";
import type { OverlayXattrNamespace } from "./whiteout.ts";

/** How trees are compared. */
export interface CompareTreesOptions extends DifferenceRules {
  /** Whose attributes are never looked at, since overlayfs keeps its marks there. */
  overlayXattrs?: OverlayXattrNamespace;
  /**
   * Also finds what is no change to a reader but has to be in an archive: a directory of which only the time differs, a time
   * that differs by a fraction of a second which an archive may have cut off, and all names of a file that has a changed
   * one, which would otherwise no longer be linked.
   */
  forArchive?: boolean;
  /** For {@linkcode compare}: also what each path is now. */
  details?: boolean | undefined;
  control?: WorkControl;
}

/** Told of a change to `name` in the directory `prefix` (`""`, or ending in `/`). A directory comes after its content. */
export type Found = (prefix: ByteString, name: ByteString, kind: PathChange["kind"]) => void;

/**
 * The changes from the tree `older` to the tree `newer`, open directories, in the order of the paths' bytes. Without
 * `older` everything was added. A directory above a change counts as modified, one of which only the time differs does
 * not; the root itself is never listed.
 *
 * @throws {StorageError} `limit_exceeded` for directories nested too deep; `aborted`. {SyscallError} What cannot be read.
 */
export function compare(newer: number, older: number | undefined, options: CompareTreesOptions = {}): PathChange[] {
  const kinds = new Map<ByteString, PathChange["kind"]>();
  new TreeComparison(options, (prefix, name, kind) => kinds.set(`/${prefix}${name}`, kind)).run(newer, older);
  return pathChanges(kinds, newer, options);
}

/** Bytes of the files that {@linkcode compare} would call added or modified, hard links once: Docker's `DiffSize`. */
export function changedSize(newer: number, older: number | undefined, options: CompareTreesOptions = {}): number {
  let sizeBytes = 0;
  const counted = new Set<string>();
  new TreeComparison(options, (_prefix, _name, kind) => void kind, (stat) => {
    if (stat.nlink > 1) {
      if (counted.has(stat.fileKey)) return;
      counted.add(stat.fileKey);
    }
    sizeBytes += stat.size;
  }).run(newer, older);
  return sizeBytes;
}

/** One walk over two trees. */
export class TreeComparison {
  readonly #found: Found;
  readonly #measure: ((stat: Stat) => void) | undefined;
  readonly #forArchive: boolean;
  readonly #files: FileComparer;
  readonly #control: WorkControl;
  readonly #leaf = new CName();
  readonly #newer = { fd: -1, stat: new Stat() };
  readonly #older = { fd: -1, stat: new Stat() };
  /** Files with several names: whether one of them changed, and those that did not. */
  readonly #linked = new Map<string, LinkedFile>();
  #entries = 0;

  /** @param measure Given each file that is no directory and was added or modified. */
  constructor(options: CompareTreesOptions, found: Found, measure?: (stat: Stat) => void) {
    this.#found = found;
    this.#measure = measure;
    this.#forArchive = options.forArchive ?? false;
    this.#control = options.control ?? UNWATCHED;
    const tick = (): void => this.#control.tick(this.#entries, 0);
    this.#files = new FileComparer(
      { ...options, exactTimes: this.#forArchive },
      options.overlayXattrs ?? "trusted",
      tick,
    );
  }

  /** Walks; whether anything differs, of the roots themselves also their time. */
  run(newerFd: number, olderFd: number | undefined): boolean {
    const isBelow = this.#walk(newerFd, olderFd, "", 0);
    const hasLinks = this.#addLinks();
    return isBelow || hasLinks || olderFd === undefined || this.#rootsDiffer(newerFd, olderFd);
  }

  #rootsDiffer(newerFd: number, olderFd: number): boolean {
    const [a, b] = [fstat(newerFd, this.#newer.stat), fstat(olderFd, this.#older.stat)];
    this.#files.unmask({ fd: newerFd, stat: a }, { fd: olderFd, stat: b }, ".");
    const isExact = this.#forArchive;
    return statDiffers(a, b, isExact) || !sameTime(a, b, isExact) || this.#files.xattrsDiffer(newerFd, olderFd, ".");
  }

  /** Whether anything in two directories differs. */
  #walk(newerFd: number, olderFd: number | undefined, prefix: ByteString, level: number): boolean {
    if (level > MOST_LEVELS) throw tooDeep(prefix);
    const newer = new Listing(newerFd);
    const older = olderFd === undefined ? undefined : new Listing(olderFd);
    this.#control.tick(this.#entries, 0);
    let differs = false;
    let at = 0;
    for (const name of newer.names) {
      let olderName = older?.names[at];
      for (; olderName !== undefined && olderName < name; olderName = older!.names[++at]) {
        differs = this.#deleted(olderFd!, prefix, olderName, older!) || differs;
      }
      this.#entries++;
      if (olderName !== name) {
        differs = this.#added(newerFd, prefix, name, newer, level) || differs;
      } else {
        at++;
        differs = this.#both(newerFd, olderFd!, prefix, name, newer, level) || differs;
      }
    }
    for (; older !== undefined && at < older.names.length; at++) {
      differs = this.#deleted(olderFd!, prefix, older.names[at]!, older) || differs;
    }
    return differs;
  }

  #deleted(olderFd: number, prefix: ByteString, name: ByteString, listing: Listing): boolean {
    if (listing.needsLook(name) && !this.#look(olderFd, name, this.#older.stat)) return false;
    this.#found(prefix, name, "delete");
    return true;
  }

  #added(newerFd: number, prefix: ByteString, name: ByteString, listing: Listing, level: number): boolean {
    let isDirectory = listing.isDirectory(name);
    const wantsStat = !isDirectory && (this.#forArchive || this.#measure !== undefined);
    if (wantsStat || listing.needsLook(name)) {
      const { stat } = this.#newer;
      if (!this.#look(newerFd, name, stat)) return false;
      isDirectory = stat.isDirectory;
      if (!isDirectory) this.#fileChanged(stat);
    }
    if (isDirectory) this.#descend(newerFd, undefined, prefix, name, level);
    this.#found(prefix, name, "add");
    return true;
  }

  #both(
    newerFd: number,
    olderFd: number,
    prefix: ByteString,
    name: ByteString,
    listing: Listing,
    level: number,
  ): boolean {
    const [newer, older] = [this.#newer, this.#older];
    newer.fd = newerFd;
    older.fd = olderFd;
    if (!this.#look(olderFd, name, older.stat)) return this.#added(newerFd, prefix, name, listing, level);
    if (!this.#look(newerFd, name, newer.stat)) {
      this.#found(prefix, name, "delete");
      return true;
    }
    if (newer.stat.isSameFile(older.stat)) return false;
    const isDirectory = newer.stat.isDirectory;
    const wasDirectory = older.stat.isDirectory;
    let differs = this.#files.differs(newer, older, name);
    if (isDirectory) {
      differs ||= this.#forArchive && wasDirectory && !sameTime(newer.stat, older.stat, true);
      differs = this.#descend(newerFd, wasDirectory ? olderFd : undefined, prefix, name, level) || differs;
    } else if (differs) this.#fileChanged(newer.stat);
    else if (this.#forArchive && newer.stat.nlink > 1) this.#linkedFile(newer.stat).unchanged.push([prefix, name]);
    if (differs) this.#found(prefix, name, "modify");
    return differs;
  }

  #fileChanged(stat: Stat): void {
    this.#measure?.(stat);
    if (this.#forArchive && stat.nlink > 1) this.#linkedFile(stat).isChanged = true;
  }

  #linkedFile(stat: Stat): LinkedFile {
    const key = stat.fileKey;
    const known = this.#linked.get(key);
    if (known !== undefined) return known;
    const file = { isChanged: false, unchanged: [] };
    this.#linked.set(key, file);
    return file;
  }

  /** Tells of the other names of changed files; whether there are any. */
  #addLinks(): boolean {
    let isAny = false;
    for (const { isChanged, unchanged } of this.#linked.values()) {
      if (!isChanged) continue;
      for (const [prefix, name] of unchanged) this.#found(prefix, name, "modify");
      isAny ||= unchanged.length > 0;
    }
    return isAny;
  }

  #descend(
    newerFd: number,
    olderFd: number | undefined,
    prefix: ByteString,
    name: ByteString,
    level: number,
  ): boolean {
    using newer = openDirectory(newerFd, this.#leaf.fill(name));
    using older = olderFd === undefined ? undefined : openDirectory(olderFd, this.#leaf.fill(name));
    return this.#walk(newer.fd, older?.fd, `${prefix}${name}/`, level + 1);
  }

  /**
   * Whether `name` is there. Overlayfs lists some deleted names, and then knows nothing of them; and in a layer's own
   * directory a deleted name is a device.
   */
  #look(fd: number, name: ByteString, stat: Stat): boolean {
    const result = tryStatx(fd, this.#leaf.fill(name), AT_SYMLINK_NOFOLLOW, stat);
    if (result === 0) return !stat.isOverlayWhiteout;
    if (result === -ERRNO.ENOENT) return false;
    throw failure(-result, "statx", fd, name);
  }
}

/** A file with several names. */
interface LinkedFile {
  isChanged: boolean;
  unchanged: [prefix: ByteString, name: ByteString][];
}

/** The names in a directory, in the order of their bytes, and what the directory itself says of their types. */
class Listing {
  readonly names: ByteString[] = [];
  /** Of names that are neither files nor links: there are few. */
  readonly #types = new Map<ByteString, number>();

  constructor(fd: number) {
    // A descriptor of its own: reading a directory moves the position of the one that is handed in.
    using directory = openDirectory(fd, ".");
    readDirectory(directory.fd, (buffer, start, end, type) => {
      const name = byteString(buffer, start, end);
      this.names.push(name);
      if (type !== DT_REG && type !== DT_LNK) this.#types.set(name, type);
    });
    this.names.sort();
  }

  isDirectory(name: ByteString): boolean {
    return this.#types.get(name) === DT_DIR;
  }

  /** Whether only statx(2) tells what the name is: its type is not known, or it may be a deletion. */
  needsLook(name: ByteString): boolean {
    const type = this.#types.get(name);
    return type === DT_UNKNOWN || type === DT_CHR;
  }
}

function openDirectory(dirfd: number, path: string | Uint8Array): Fd {
  return new Fd(openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

function tooDeep(prefix: ByteString): StorageError {
  return new StorageError(
    "limit_exceeded",
    `Cannot compare "${textOfBytes(prefix.slice(0, 100))}…": its directories are more than ${MOST_LEVELS} deep`,
  );
}

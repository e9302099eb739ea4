// SPDX-License-Identifier: Apache-2.0

/**
 * What an overlay layer changed, found from its upper directory alone: only what the layer touched is looked at, and for
 * each such name the directories below it. The answer is the one that comparing the two mounted trees would give.
 *
 * @module
 */

import { DT_CHR, DT_DIR, DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { ERRNO, failure, hex } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  Fd,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  tryOpenat,
} from "../../ffi/file.ts";
import { fstat, Stat, tryStatx } from "../../ffi/stat.ts";
import { type ByteString, byteString, CName } from "../util/byte_string.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";
import { type DifferenceRules, FileComparer } from "./_differences.ts";
import { LayerMarks } from "./_layer_marks.ts";
import { type PathChange, pathChanges } from "./path_change.ts";
import { OCI_WHITEOUT_PREFIX, type OverlayXattrNamespace } from "./whiteout.ts";

/** How changes are found. */
export interface ChangesOptions extends DifferenceRules {
  /** Which attribute makes a directory opaque; `trusted` unless the mounts are made with `userxattr`. */
  overlayXattrs?: OverlayXattrNamespace;
  /** Whether files named `.wh.…` are deletions, as a mount program notes them. */
  markers?: boolean | undefined;
  /** Also what each path is now. */
  details?: boolean | undefined;
  control?: WorkControl;
}

/**
 * The changes of the layer in `upperDir` over `lowerDirs` (uppermost first), in the order of the paths' bytes. A directory
 * above a change counts as modified; the root itself is never listed.
 */
export function changes(upperDir: string, lowerDirs: readonly string[], options: ChangesOptions = {}): PathChange[] {
  const finder = new ChangeFinder(options);
  using upper = openDirectory(AT_FDCWD, upperDir);
  const lowers = lowerDirs.map((directory) => openDirectory(AT_FDCWD, directory));
  try {
    finder.walk(upper.fd, "/", lowers, false);
  } finally {
    disposeAll(lowers);
  }
  return pathChanges(finder.found, upper.fd, options);
}

class ChangeFinder {
  readonly found = new Map<ByteString, PathChange["kind"]>();
  readonly #marks: LayerMarks;
  readonly #control: WorkControl;
  readonly #files: FileComparer;
  readonly #upper = { fd: -1, stat: new Stat() };
  readonly #lower = { fd: -1, stat: new Stat() };
  readonly #leaf = new CName();

  constructor(options: ChangesOptions) {
    const namespace = options.overlayXattrs ?? "trusted";
    this.#marks = new LayerMarks(namespace, options.markers ?? false);
    this.#control = options.control ?? UNWATCHED;
    this.#files = new FileComparer(options, namespace, () => this.#control.tick(this.found.size, 0));
  }

  /**
   * @param upperFd Read from its beginning to its end.
   * @param isInOpaque Whether a directory above is opaque: what the layers below have here is hidden as well.
   */
  walk(upperFd: number, prefix: ByteString, lowers: readonly Fd[], isInOpaque: boolean): void {
    const types = new Map<ByteString, number>();
    readDirectory(upperFd, (buffer, start, end, type) => types.set(byteString(buffer, start, end), type));
    this.#control.tick(this.found.size, 0);
    // Overlayfs has no opaque root; mount programs do.
    const canBeOpaque = lowers.length > 0 && (prefix !== "/" || this.#marks.hasMarkers);
    const isOpaque = isInOpaque || (canBeOpaque && this.#marks.isOpaque(upperFd));
    if (isOpaque) this.#addHidden(prefix, lowers, types);
    for (const [name, type] of types) {
      if (this.#marks.isMark(name)) this.#marked(prefix, name, lowers);
      else if (type === DT_DIR) this.#directory(upperFd, prefix, name, lowers, isOpaque);
      else this.#name(upperFd, prefix, name, type, lowers, isOpaque);
    }
  }

  #name(
    upperFd: number,
    prefix: ByteString,
    name: ByteString,
    type: number,
    lowers: readonly Fd[],
    isInOpaque: boolean,
  ): void {
    const path = prefix + name;
    const { stat } = this.#upper;
    // A deletion is a device.
    const mayBeOther = type === DT_CHR || type === DT_UNKNOWN;
    const isBelow = this.#lookBelow(lowers, name);
    if (!isBelow && !mayBeOther) return this.#add(path, "add");
    if (!look(upperFd, this.#leaf.fill(name), stat)) return;
    if (stat.isDirectory) return this.#directory(upperFd, prefix, name, lowers, isInOpaque);
    this.#upper.fd = upperFd;
    if (stat.isOverlayWhiteout) {
      if (isBelow) this.#add(path, "delete");
    } else if (!isBelow) this.#add(path, "add");
    else if (this.#files.differs(this.#upper, this.#lower, name)) this.#add(path, "modify");
  }

  #directory(
    upperFd: number,
    prefix: ByteString,
    name: ByteString,
    lowers: readonly Fd[],
    isInOpaque: boolean,
  ): void {
    const path = prefix + name;
    using directory = openDirectory(upperFd, this.#leaf.fill(name));
    const below = this.#directoriesBelow(lowers, name);
    try {
      if (below.length === 0) this.#add(path, this.#lookBelow(lowers, name) ? "modify" : "add");
      this.walk(directory.fd, `${path}/`, below, isInOpaque);
      // Below a change there is nothing left to find out.
      if (this.found.has(path) || !this.#lookBelow(lowers, name)) return;
      this.#upper.fd = upperFd;
      fstat(directory.fd, this.#upper.stat);
      if (this.#files.differs(this.#upper, this.#lower, name)) this.#add(path, "modify");
    } finally {
      disposeAll(below);
    }
  }

  /** What the file `marker` deletes. */
  #marked(prefix: ByteString, marker: ByteString, lowers: readonly Fd[]): void {
    const name = marker.slice(OCI_WHITEOUT_PREFIX.length);
    if (this.#lookBelow(lowers, name)) this.#add(prefix + name, "delete");
  }

  /** Whether the layers below show anything under `name`; `#lower` is then what and where. */
  #lookBelow(lowers: readonly Fd[], name: ByteString): boolean {
    const lower = this.#lower;
    for (const { fd } of lowers) {
      if (this.#marks.isMarkedDeleted(fd, name)) return false;
      if (!look(fd, this.#leaf.fill(name), lower.stat)) continue;
      lower.fd = fd;
      return !lower.stat.isOverlayWhiteout;
    }
    return false;
  }

  /** The directories of which the layers below merge what they show under `name`; none if that is something else. */
  #directoriesBelow(lowers: readonly Fd[], name: ByteString): Fd[] {
    const directories: Fd[] = [];
    for (const [i, { fd }] of lowers.entries()) {
      if (this.#marks.isMarkedDeleted(fd, name)) break;
      const directory = tryOpenat(fd, this.#leaf.fill(name), DIRECTORY_FLAGS);
      if (directory === -ERRNO.ENOENT) continue;
      // A file or a deletion ends the merge, and so does an opaque directory.
      if (directory === -ERRNO.ENOTDIR || directory === -ERRNO.ELOOP) break;
      if (directory < 0) throw failure(-directory, "openat", fd, name, hex(DIRECTORY_FLAGS));
      directories.push(new Fd(directory));
      if (i < lowers.length - 1 && this.#marks.isOpaque(directory)) break;
    }
    return directories;
  }

  /** Names of the layers below that an opaque directory hides and does not bring back. */
  #addHidden(prefix: ByteString, lowers: readonly Fd[], kept: ReadonlyMap<ByteString, number>): void {
    for (const { fd } of lowers) {
      // A descriptor of its own: reading a directory moves the position of the one that others have.
      using directory = openDirectory(fd, ".");
      const names: ByteString[] = [];
      readDirectory(directory.fd, (buffer, start, end) => names.push(byteString(buffer, start, end)));
      for (const name of names) {
        if (kept.has(name) || this.#marks.isMark(name)) continue;
        if (this.#lookBelow(lowers, name)) this.#add(prefix + name, "delete");
      }
    }
  }

  #add(path: ByteString, kind: PathChange["kind"]): void {
    this.found.set(path, kind);
    for (let slash = path.lastIndexOf("/"); slash > 0; slash = path.lastIndexOf("/", slash - 1)) {
      const parent = path.slice(0, slash);
      if (this.found.has(parent)) return;
      this.found.set(parent, "modify");
    }
  }
}

/** Whether there is such a name; `stat` then tells what it is. */
function look(dirfd: number, leaf: Uint8Array, stat: Stat): boolean {
  const result = tryStatx(dirfd, leaf, AT_SYMLINK_NOFOLLOW, stat);
  if (result < 0 && result !== -ERRNO.ENOENT) {
    throw failure(-result, "statx", dirfd, leaf, hex(AT_SYMLINK_NOFOLLOW));
  }
  return result === 0;
}

const DIRECTORY_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

function openDirectory(dirfd: number, path: string | Uint8Array): Fd {
  return new Fd(openat(dirfd, path, DIRECTORY_FLAGS));
}

function disposeAll(directories: readonly Fd[]): void {
  for (const directory of directories) directory[Symbol.dispose]();
}

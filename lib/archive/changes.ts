// SPDX-License-Identifier: Apache-2.0

/**
 * What an overlay layer changed, found from its upper directory alone: only what the layer touched is looked at, and for
 * each such name the directories below it. The answer is the one that comparing the two mounted trees would give.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import { ERRNO, failure, hex } from "../../ffi/errno.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "../../ffi/file.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import { type ByteString, byteString, CName, textOfBytes } from "../util/byte_string.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";
import { type DifferenceRules, FileComparer } from "./_differences.ts";
import { LayerMarks } from "./_layer_marks.ts";
import { OCI_WHITEOUT_PREFIX, type OverlayXattrNamespace } from "./whiteout.ts";

/** One changed path, absolute in the layer. */
export interface PathChange {
  path: string;
  kind: "modify" | "add" | "delete";
}

/** How changes are found. */
export interface ChangesOptions extends DifferenceRules {
  /** Which attribute makes a directory opaque; `trusted` unless the mounts are made with `userxattr`. */
  overlayXattrs?: OverlayXattrNamespace;
  /** Whether files named `.wh.…` are deletions, as a mount program notes them. */
  markers?: boolean | undefined;
  control?: WorkControl;
}

/** The name as the layers below show it: of which type, and, for a directory, merged from which ones. */
interface LowerName {
  /** The directory that decides. */
  fd: number;
  stat: Stat;
  directories: Fd[];
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
    finder.walk(upper.fd, "/", lowers);
  } finally {
    disposeAll(lowers);
  }
  return finder.result();
}

class ChangeFinder {
  readonly #found = new Map<ByteString, PathChange["kind"]>();
  readonly #marks: LayerMarks;
  readonly #control: WorkControl;
  readonly #files: FileComparer;
  readonly #stat = new Stat();
  readonly #leaf = new CName();

  constructor(options: ChangesOptions) {
    const namespace = options.overlayXattrs ?? "trusted";
    this.#marks = new LayerMarks(namespace, options.markers ?? false);
    this.#control = options.control ?? UNWATCHED;
    this.#files = new FileComparer(options, namespace, () => this.#control.tick(this.#found.size, 0));
  }

  result(): PathChange[] {
    const paths = [...this.#found.keys()].sort();
    return paths.map((path) => ({ path: textOfBytes(path), kind: this.#found.get(path)! }));
  }

  walk(upperFd: number, prefix: ByteString, lowers: readonly Fd[]): void {
    const names = namesIn(upperFd);
    this.#control.tick(this.#found.size, 0);
    // Overlayfs has no opaque root; mount programs do.
    const canBeOpaque = prefix !== "/" || this.#marks.hasMarkers;
    if (canBeOpaque && lowers.length > 0 && this.#marks.isOpaque(upperFd)) {
      this.#addHidden(prefix, lowers, new Set(names));
    }
    for (const name of names) this.#compare(upperFd, prefix, name, lowers);
  }

  #compare(upperFd: number, prefix: ByteString, name: ByteString, lowers: readonly Fd[]): void {
    if (this.#marks.isMark(name)) return this.#addMarked(prefix, name, lowers);
    const path = prefix + name;
    const stat = new Stat();
    if (!look(upperFd, this.#leaf.fill(name), stat)) return;
    const lower = this.#findLower(lowers, name);
    try {
      if (stat.isOverlayWhiteout) {
        if (lower !== undefined) this.#add(path, "delete");
        return;
      }
      if (lower === undefined) this.#add(path, "add");
      else if (this.#files.differs({ fd: upperFd, stat }, lower, name)) this.#add(path, "modify");
      if (!stat.isDirectory) return;
      using directory = openDirectory(upperFd, this.#leaf.fill(name));
      this.walk(directory.fd, `${path}/`, lower?.directories ?? []);
    } finally {
      if (lower !== undefined) disposeAll(lower.directories);
    }
  }

  /** What the file `marker` deletes. */
  #addMarked(prefix: ByteString, marker: ByteString, lowers: readonly Fd[]): void {
    const name = marker.slice(OCI_WHITEOUT_PREFIX.length);
    const lower = this.#findLower(lowers, name);
    if (lower === undefined) return;
    disposeAll(lower.directories);
    this.#add(prefix + name, "delete");
  }

  /** What the layers below show under `name`; undefined if nothing. */
  #findLower(lowers: readonly Fd[], name: ByteString): LowerName | undefined {
    let found: LowerName | undefined;
    for (const { fd } of lowers) {
      if (this.#marks.isMarkedDeleted(fd, name)) break;
      const leaf = this.#leaf.fill(name);
      if (!look(fd, leaf, this.#stat)) continue;
      // What stands above it decides: a deletion or a file ends the search, a directory is merged with those below.
      if (this.#stat.isOverlayWhiteout) break;
      if (found !== undefined && !this.#stat.isDirectory) break;
      if (found === undefined) {
        const stat = new Stat();
        stat.words.set(this.#stat.words);
        found = { fd, stat, directories: [] };
        if (!stat.isDirectory) break;
      }
      const directory = openDirectory(fd, this.#leaf.fill(name));
      found.directories.push(directory);
      if (this.#marks.isOpaque(directory.fd)) break;
    }
    return found;
  }

  /** Names of the layers below that an opaque directory hides and does not bring back. */
  #addHidden(prefix: ByteString, lowers: readonly Fd[], kept: ReadonlySet<ByteString>): void {
    for (const { fd } of lowers) {
      for (const name of namesIn(fd)) {
        if (kept.has(name) || this.#marks.isMark(name)) continue;
        const lower = this.#findLower(lowers, name);
        if (lower === undefined) continue;
        disposeAll(lower.directories);
        this.#add(prefix + name, "delete");
      }
    }
  }

  #add(path: ByteString, kind: PathChange["kind"]): void {
    this.#found.set(path, kind);
    for (let slash = path.lastIndexOf("/"); slash > 0; slash = path.lastIndexOf("/", slash - 1)) {
      const parent = path.slice(0, slash);
      if (this.#found.has(parent)) return;
      this.#found.set(parent, "modify");
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

function namesIn(fd: number): ByteString[] {
  // A descriptor of its own: reading a directory moves the position of the one that is handed in.
  using directory = openDirectory(fd, ".");
  const names: ByteString[] = [];
  readDirectory(directory.fd, (buffer, start, end) => names.push(byteString(buffer, start, end)));
  return names.sort();
}

function openDirectory(dirfd: number, path: string | Uint8Array): Fd {
  return new Fd(openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

function disposeAll(directories: readonly Fd[]): void {
  for (const directory of directories) directory[Symbol.dispose]();
}

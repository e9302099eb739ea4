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
import { fgetxattr, lgetxattr } from "../../ffi/xattr.ts";
import { type ByteString, byteString, CName, textOfBytes } from "../util/byte_string.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";
import { isOpaqueValue, opaqueXattr, type OverlayXattrNamespace } from "./whiteout.ts";

/** One changed path, absolute in the layer. */
export interface PathChange {
  path: string;
  kind: "modify" | "add" | "delete";
}

/** How changes are found. */
export interface ChangesOptions {
  /** Which attribute makes a directory opaque; `trusted` unless the mounts are made with `userxattr`. */
  overlayXattrs?: OverlayXattrNamespace;
  control?: WorkControl;
}

/** The name as the layers below show it: of which type, and, for a directory, merged from which ones. */
interface LowerName {
  stat: Stat;
  capability: Uint8Array | undefined;
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
  readonly #opaqueXattr: string;
  readonly #control: WorkControl;
  readonly #stat = new Stat();
  readonly #leaf = new CName();

  constructor(options: ChangesOptions) {
    this.#opaqueXattr = opaqueXattr(options.overlayXattrs ?? "trusted");
    this.#control = options.control ?? UNWATCHED;
  }

  result(): PathChange[] {
    const paths = [...this.#found.keys()].sort();
    return paths.map((path) => ({ path: textOfBytes(path), kind: this.#found.get(path)! }));
  }

  walk(upperFd: number, prefix: ByteString, lowers: readonly Fd[]): void {
    const names = namesIn(upperFd);
    this.#control.tick(this.#found.size, 0);
    // The root cannot be opaque: there it would mean nothing.
    if (prefix !== "/" && lowers.length > 0 && this.#isOpaque(upperFd)) this.#addHidden(prefix, lowers, new Set(names));
    for (const name of names) this.#compare(upperFd, prefix, name, lowers);
  }

  #compare(upperFd: number, prefix: ByteString, name: ByteString, lowers: readonly Fd[]): void {
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
      else if (this.#differs(stat, capabilityOf(upperFd, name), lower)) this.#add(path, "modify");
      if (!stat.isDirectory) return;
      using directory = openDirectory(upperFd, this.#leaf.fill(name));
      this.walk(directory.fd, `${path}/`, lower?.directories ?? []);
    } finally {
      if (lower !== undefined) disposeAll(lower.directories);
    }
  }

  /** What the layers below show under `name`; undefined if nothing. */
  #findLower(lowers: readonly Fd[], name: ByteString): LowerName | undefined {
    let found: LowerName | undefined;
    for (const { fd } of lowers) {
      const leaf = this.#leaf.fill(name);
      if (!look(fd, leaf, this.#stat)) continue;
      // What stands above it decides: a deletion or a file ends the search, a directory is merged with those below.
      if (this.#stat.isOverlayWhiteout) break;
      if (found !== undefined && !this.#stat.isDirectory) break;
      if (found === undefined) {
        const stat = new Stat();
        stat.words.set(this.#stat.words);
        found = { stat, capability: capabilityOf(fd, name), directories: [] };
        if (!stat.isDirectory) break;
      }
      const directory = openDirectory(fd, this.#leaf.fill(name));
      found.directories.push(directory);
      if (this.#isOpaque(directory.fd)) break;
    }
    return found;
  }

  /** Names of the layers below that an opaque directory hides and does not bring back. */
  #addHidden(prefix: ByteString, lowers: readonly Fd[], kept: ReadonlySet<ByteString>): void {
    for (const { fd } of lowers) {
      for (const name of namesIn(fd)) {
        if (kept.has(name)) continue;
        const lower = this.#findLower(lowers, name);
        if (lower === undefined) continue;
        disposeAll(lower.directories);
        this.#add(prefix + name, "delete");
      }
    }
  }

  #differs(upper: Stat, capability: Uint8Array | undefined, lower: LowerName): boolean {
    return statDiffers(upper, lower.stat) || !sameBytes(capability, lower.capability);
  }

  #isOpaque(fd: number): boolean {
    return isOpaqueValue(fgetxattr(fd, this.#opaqueXattr));
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

/**
 * Whether two files count as different, by Docker's rules: type, mode, owner or device; and, but for directories, size
 * or time of modification.
 */
export function statDiffers(a: Stat, b: Stat): boolean {
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid) return true;
  if (a.rdevMajor !== b.rdevMajor || a.rdevMinor !== b.rdevMinor) return true;
  if (a.isDirectory) return false;
  return a.size !== b.size || !sameTime(a, b);
}

/** A time without nanoseconds may be one that an archive cut off, and equals any time of its second. */
function sameTime(a: Stat, b: Stat): boolean {
  if (a.mtimeSeconds !== b.mtimeSeconds) return false;
  return a.mtimeNanoseconds === b.mtimeNanoseconds || a.mtimeNanoseconds === 0 || b.mtimeNanoseconds === 0;
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function capabilityOf(dirfd: number, name: ByteString): Uint8Array | undefined {
  return lgetxattr(new CName().fill(`/proc/self/fd/${dirfd}/${name}`), "security.capability");
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

// SPDX-License-Identifier: Apache-2.0

/**
 * What trees occupy on the disk, counted by inodes as du(1) does: a file with several names counts once, and one of which
 * some names lie elsewhere is shared. Which blocks files share by reflinks or deduplication, no portable call tells.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import { ERRNO, failure, isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, tryOpenat } from "../../ffi/file.ts";
import { fstat, Stat, tryStatx } from "../../ffi/stat.ts";
import { type ByteString, byteString, CName, textOfBytes } from "../util/byte_string.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";

/** Something of which it could not be told what it occupies. */
export interface UnreadablePath {
  /** Absolute in the tree: begins with `/`. */
  path: string;
  /** The kernel's: `EACCES`. */
  reason: string;
}

/** What a tree occupies. */
export interface TreeUsage {
  /** Bytes on the disk that would be free without the tree. */
  exclusiveBytes: number;
  /** Bytes on the disk of files that have names outside the tree as well (hard links). */
  sharedBytes: number;
  /** Bytes that its files and links hold to a reader, holes included; directories do not count. */
  apparentBytes: number;
  /** Bytes on the disk, of directories too: the exclusive and the shared ones. */
  allocatedBytes: number;
  /** What is not in these figures; what went away meanwhile is not among it. */
  unreadable: UnreadablePath[];
}

/** What several trees occupy. */
export interface TreesUsage {
  trees: TreeUsage[];
  /** Of all together: a file that several of them have counts once. */
  total: Omit<TreeUsage, "unreadable">;
}

/** @throws {StorageError} `aborted`. */
export function treesUsage(directories: readonly string[], control: WorkControl = UNWATCHED): TreesUsage {
  const meter = new UsageMeter(control);
  const trees = directories.map((directory) => meter.measure(directory));
  return { trees, total: meter.total };
}

/** A file with several names. */
interface LinkedFile {
  /** Names that have not been met. */
  missing: number;
  allocatedBytes: number;
  apparentBytes: number;
}

const BLOCK_SIZE = 512;
const DIRECTORY_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/** One walk over several trees. */
class UsageMeter {
  readonly total = { exclusiveBytes: 0, sharedBytes: 0, apparentBytes: 0, allocatedBytes: 0 };
  readonly #control: WorkControl;
  readonly #stat = new Stat();
  /** Shared files that the total has. */
  readonly #shared = new Set<string>();
  /** Files of the tree at hand with several names. */
  #linked = new Map<string, LinkedFile>();
  #tree = newTree();
  #entries = 0;
  #bytes = 0;

  constructor(control: WorkControl) {
    this.#control = control;
  }

  measure(directory: string): TreeUsage {
    this.#tree = newTree();
    this.#linked = new Map();
    const root = tryOpenat(AT_FDCWD, directory, DIRECTORY_FLAGS);
    if (root < 0) this.#unreadable("/", -root);
    else {
      using rootFd = new Fd(root);
      this.#directory(rootFd.fd, "");
    }
    const tree = this.#tree;
    for (const file of ["exclusiveBytes", "apparentBytes"] as const) this.total[file] += tree[file];
    for (const [key, file] of this.#linked) this.#addLinked(key, file);
    tree.allocatedBytes = tree.exclusiveBytes + tree.sharedBytes;
    this.total.allocatedBytes = this.total.exclusiveBytes + this.total.sharedBytes;
    return tree;
  }

  /** @param prefix The directory's path, in the tree, without a slash at its end. */
  #directory(fd: number, prefix: ByteString): void {
    const directories: ByteString[] = [];
    this.#tree.exclusiveBytes += fstat(fd, this.#stat).blocks * BLOCK_SIZE;
    try {
      readDirectory(fd, (buffer, start, end) => {
        // The kernel ends the name with a NUL, so its own buffer is the argument.
        const result = tryStatx(fd, buffer.subarray(start), AT_SYMLINK_NOFOLLOW, this.#stat);
        this.#entries++;
        if (result < 0) this.#unreadable(`${prefix}/${byteString(buffer, start, end)}`, -result);
        else if (this.#stat.isDirectory) directories.push(byteString(buffer, start, end));
        else this.#file();
      });
    } catch (error) {
      if (!isErrno(error)) throw error;
      this.#unreadable(prefix === "" ? "/" : prefix, error.errno);
    }
    this.#control.tick(this.#entries, this.#bytes);
    const leaf = new CName();
    for (const name of directories) {
      const path = `${prefix}/${name}`;
      const opened = tryOpenat(fd, leaf.fill(name), DIRECTORY_FLAGS);
      if (opened < 0) this.#unreadable(path, -opened);
      else {
        using directory = new Fd(opened);
        this.#directory(directory.fd, path);
      }
    }
  }

  #file(): void {
    const { nlink, size, blocks } = this.#stat;
    const allocatedBytes = blocks * BLOCK_SIZE;
    this.#bytes += size;
    if (nlink === 1) {
      this.#tree.exclusiveBytes += allocatedBytes;
      this.#tree.apparentBytes += size;
      return;
    }
    const { fileKey } = this.#stat;
    const known = this.#linked.get(fileKey);
    if (known === undefined) this.#linked.set(fileKey, { missing: nlink - 1, allocatedBytes, apparentBytes: size });
    else known.missing--;
  }

  #addLinked(key: string, { missing, allocatedBytes, apparentBytes }: LinkedFile): void {
    const part = missing === 0 ? "exclusiveBytes" : "sharedBytes";
    this.#tree[part] += allocatedBytes;
    this.#tree.apparentBytes += apparentBytes;
    if (missing > 0) {
      if (this.#shared.has(key)) return;
      this.#shared.add(key);
    }
    this.total[part] += allocatedBytes;
    this.total.apparentBytes += apparentBytes;
  }

  #unreadable(path: ByteString, errno: number): void {
    // What a container removes while it is looked at occupies nothing. A layer whose content is not there is told.
    if (errno === ERRNO.ENOENT && path !== "/") return;
    this.#tree.unreadable.push({ path: textOfBytes(path), reason: failure(errno, "").code });
  }
}

function newTree(): TreeUsage {
  return { exclusiveBytes: 0, sharedBytes: 0, apparentBytes: 0, allocatedBytes: 0, unreadable: [] };
}

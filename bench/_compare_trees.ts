// SPDX-License-Identifier: Apache-2.0

/**
 * Whether two mounted trees are the same: names, types, contents, modes, owners, times to the nanosecond, link targets,
 * which names are one file, device numbers, extended attributes.
 *
 * Left out is what a file system decides for itself (size and link count of directories) and what overlayfs keeps in
 * attributes of its own.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { readDirectory } from "../ffi/directory.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat, read, readlinkat } from "../ffi/file.ts";
import { lstatat, S_IFMT, type Stat } from "../ffi/stat.ts";
import { lgetxattr, llistxattr } from "../ffi/xattr.ts";
import { type ByteString, byteString, CName, textOfBytes } from "../lib/util/byte_string.ts";

/** One respect in which the trees differ. */
export interface Difference {
  /** Absolute in the trees. */
  path: string;
  /** `mode`, `content`, `presence` … */
  what: string;
  left: string;
  right: string;
}

/** What a comparison found. */
export interface Comparison {
  /** Names that are in both trees, their roots included. */
  entries: number;
  /** Bytes of file content that were compared, of one tree. */
  bytes: number;
  differences: Difference[];
}

/** Compares two trees; the event loop keeps running, so that a signal can end it. */
export async function compareTrees(
  left: string,
  right: string,
  options: { signal?: AbortSignal } = {},
): Promise<Comparison> {
  const comparer = new TreeComparer(options.signal);
  using leftRoot = openDirectory(AT_FDCWD, Buffer.from(`${left}\0`));
  using rightRoot = openDirectory(AT_FDCWD, Buffer.from(`${right}\0`));
  comparer.compareEntry(new Place(leftRoot.fd, "."), new Place(rightRoot.fd, "."), "/");
  await comparer.compareDirectories(leftRoot.fd, rightRoot.fd, "/");
  return comparer.result;
}

function openDirectory(dirfd: number, path: Uint8Array): Fd {
  return new Fd(openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

/** A name in an open directory. */
class Place {
  constructor(readonly dirfd: number, readonly name: ByteString) {}

  get cname(): Uint8Array<ArrayBuffer> {
    return new CName().fill(this.name).slice(0, this.name.length + 1);
  }

  /** For the calls that have no `at` form. */
  get procPath(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(Buffer.from(`/proc/self/fd/${this.dirfd}/${this.name}\0`, "latin1"));
  }
}

/** How long the event loop may stand still. */
const MOST_MS = 20;

class TreeComparer {
  readonly result: Comparison = { entries: 0, bytes: 0, differences: [] };
  readonly #signal: AbortSignal | undefined;
  readonly #leftLinks = new Map<string, ByteString>();
  readonly #rightLinks = new Map<string, ByteString>();
  readonly #contents = new ContentComparer();
  #lastPause = performance.now();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** Compares what is below two open directories; `path` ends in a slash. */
  async compareDirectories(left: number, right: number, path: ByteString): Promise<void> {
    const rightNames = new Set(namesIn(right));
    for (const name of namesIn(left).sort()) {
      await this.#pause();
      if (rightNames.delete(name)) await this.#compareName(new Place(left, name), new Place(right, name), path + name);
      else this.#differ(path + name, "presence", "there", "missing");
    }
    for (const name of rightNames) this.#differ(path + name, "presence", "missing", "there");
  }

  async #compareName(left: Place, right: Place, path: ByteString): Promise<void> {
    if (!this.compareEntry(left, right, path)) return;
    using leftDirectory = openDirectory(left.dirfd, left.cname);
    using rightDirectory = openDirectory(right.dirfd, right.cname);
    await this.compareDirectories(leftDirectory.fd, rightDirectory.fd, `${path}/`);
  }

  /** Compares one name; whether it is a directory on both sides. */
  compareEntry(left: Place, right: Place, path: ByteString): boolean {
    this.result.entries++;
    const leftStat = lstatat(left.dirfd, left.cname);
    const rightStat = lstatat(right.dirfd, right.cname);
    const leftTraits = traitsOf(left, leftStat, firstName(this.#leftLinks, leftStat, path));
    const rightTraits = traitsOf(right, rightStat, firstName(this.#rightLinks, rightStat, path));
    for (const what of new Set([...leftTraits.keys(), ...rightTraits.keys()])) {
      const [a, b] = [leftTraits.get(what) ?? "none", rightTraits.get(what) ?? "none"];
      if (a !== b) this.#differ(path, what, a, b);
    }
    if (leftStat.isFile && rightStat.isFile && leftStat.size === rightStat.size) {
      this.#compareContents(left, right, leftStat.size, path);
    }
    return leftStat.isDirectory && rightStat.isDirectory;
  }

  #compareContents(left: Place, right: Place, size: number, path: ByteString): void {
    const offset = this.#contents.firstDifference(left, right);
    this.result.bytes += size;
    if (offset !== undefined) this.#differ(path, "content", `differs from byte ${offset} on`, "");
  }

  #differ(path: ByteString, what: string, left: string, right: string): void {
    this.result.differences.push({ path: textOfBytes(path), what, left: textOfBytes(left), right: textOfBytes(right) });
  }

  async #pause(): Promise<void> {
    if (performance.now() - this.#lastPause < MOST_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#signal?.throwIfAborted();
    this.#lastPause = performance.now();
  }
}

function namesIn(fd: number): ByteString[] {
  const names: ByteString[] = [];
  readDirectory(fd, (buffer, start, end) => names.push(byteString(buffer, start, end)));
  return names;
}

/** The first path under which a file with several names was met: equal on both sides if the same names are one file. */
function firstName(links: Map<string, ByteString>, stat: Stat, path: ByteString): ByteString {
  if (stat.isDirectory || stat.nlink === 1) return path;
  const first = links.get(stat.fileKey);
  if (first !== undefined) return first;
  links.set(stat.fileKey, path);
  return path;
}

const OVERLAY_XATTR_REGEXP = /^(trusted|user)\.overlay\./;

/** Everything about a name but its content, each as text. */
function traitsOf(place: Place, stat: Stat, sameFileAs: ByteString): Map<string, string> {
  const traits = new Map([
    ["type", (stat.mode & S_IFMT).toString(8)],
    ["mode", (stat.mode & ~S_IFMT).toString(8)],
    ["owner", `${stat.uid}:${stat.gid}`],
    ["time", `${stat.mtimeSeconds} s + ${stat.mtimeNanoseconds} ns`],
    ["device number", `${stat.rdevMajor}:${stat.rdevMinor}`],
    ["hard link to", sameFileAs],
  ]);
  if (!stat.isDirectory) traits.set("size", String(stat.size)).set("names", String(stat.nlink));
  if (stat.isSymlink) traits.set("target", byteString(readlinkat(place.dirfd, place.cname)));
  for (const name of llistxattr(place.procPath)) {
    if (!OVERLAY_XATTR_REGEXP.test(name)) traits.set(`xattr ${name}`, hexOf(lgetxattr(place.procPath, name)));
  }
  return traits;
}

function hexOf(value: Uint8Array | undefined): string {
  return value === undefined ? "none" : `0x${Buffer.from(value).toString("hex")}`;
}

const CHUNK = 1024 * 1024;

/** Reads two files side by side. */
class ContentComparer {
  readonly #left = Buffer.alloc(CHUNK);
  readonly #right = Buffer.alloc(CHUNK);

  /** Offset of the first byte that differs; undefined if the files are the same. */
  firstDifference(left: Place, right: Place): number | undefined {
    using leftFile = new Fd(openat(left.dirfd, left.cname, O_RDONLY | O_NOFOLLOW));
    using rightFile = new Fd(openat(right.dirfd, right.cname, O_RDONLY | O_NOFOLLOW));
    for (let offset = 0;; offset += CHUNK) {
      const leftPart = this.#left.subarray(0, readFully(leftFile.fd, this.#left));
      const rightPart = this.#right.subarray(0, readFully(rightFile.fd, this.#right));
      if (!leftPart.equals(rightPart)) return offset + firstUnequal(leftPart, rightPart);
      if (leftPart.length < CHUNK) return undefined;
    }
  }
}

/** Reads until the buffer is full or the file at its end. */
function readFully(fd: number, buffer: Uint8Array): number {
  let filled = 0;
  while (filled < buffer.length) {
    const count = read(fd, buffer.subarray(filled));
    if (count === 0) break;
    filled += count;
  }
  return filled;
}

function firstUnequal(left: Uint8Array, right: Uint8Array): number {
  const end = Math.min(left.length, right.length);
  for (let i = 0; i < end; i++) if (left[i] !== right[i]) return i;
  return end;
}

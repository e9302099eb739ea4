// SPDX-License-Identifier: Apache-2.0

/**
 * What a tree holds, as lines of text that can be compared later: a name that is gone, one that came, content that changed
 * without anybody writing to it, and files of which a power cut left nothing but zeros.
 *
 * ```
 * lamina-manifest 1
 * d 0755 0 0 - - .
 * f 0644 0 0 1024 sha256:2c26…  etc/passwd
 * l 0777 0 0 7 sha256:fcde…  bin
 * c 0000 0 0 0:0 - gone
 * ```
 *
 * Each line has the type (`f`, `d`, `l`, `c`, `b`, `p`, `s`), permission bits in octal, user, group, size in bytes (of a
 * device `major:minor`, of a directory `-`), digest (of a file its content, of a link its target), and the path, relative
 * to the tree, with control characters, blanks, `\` and bytes over 0x7e as `\ooo`. The lines are in the order of their
 * paths' bytes, and end with one that tells how many there are: a manifest that was cut short is none.
 *
 * Times are not in it, as a repair of the file system may change them; nor are attributes.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { readDirectory } from "../../ffi/directory.ts";
import { Fd, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, openat, read, readlinkat } from "../../ffi/file.ts";
import {
  lstatat,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  Stat,
} from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";
import { type ByteString, byteString, CName, textOfBytes } from "../util/byte_string.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";

const HEADER = "lamina-manifest 1";
const PIECE = new Uint8Array(256 * 1024);

const TYPES: ReadonlyMap<number, string> = new Map([
  [S_IFREG, "f"],
  [S_IFDIR, "d"],
  [S_IFLNK, "l"],
  [S_IFCHR, "c"],
  [S_IFBLK, "b"],
  [S_IFIFO, "p"],
  [S_IFSOCK, "s"],
]);

/** What became of a name since the manifest was made. */
export type ManifestChange =
  | "changed" // another type, mode, owner, size or content
  | "missing"
  | "added"
  | "zeroed"; // of the same size, but all of it is zeros, which it was not

/** A name that is not as the manifest says. */
export interface ManifestDifference {
  /** Bytes that are no UTF-8 show as U+FFFD. */
  path: string;
  /** What became of it. */
  change: ManifestChange;
}

/** The manifest of the tree that is open at `rootFd`. */
export function manifestOf(rootFd: number, control: WorkControl = UNWATCHED): string {
  const entries = readTree(rootFd, control);
  const lines = [...entries].map(([path, { facts }]) => `${facts} ${escaped(path)}\n`);
  return `${HEADER}\n${lines.join("")}${lines.length} entries\n`;
}

/**
 * What in the tree at `rootFd` is not as `manifest` says, in the order of the paths' bytes.
 *
 * @throws {StorageError} `store_damaged`: it is no manifest, or not a whole one.
 */
export function compareWithManifest(
  rootFd: number,
  manifest: string,
  control: WorkControl = UNWATCHED,
): ManifestDifference[] {
  const expected = parse(manifest);
  const actual = readTree(rootFd, control);
  const differences: ManifestDifference[] = [];
  for (const [path, facts] of expected) {
    const entry = actual.get(path);
    if (entry === undefined) differences.push({ path: textOfBytes(path), change: "missing" });
    else if (entry.facts !== facts) differences.push({ path: textOfBytes(path), change: changeOf(facts, entry) });
  }
  for (const path of actual.keys()) {
    if (!expected.has(path)) differences.push({ path: textOfBytes(path), change: "added" });
  }
  return differences.sort((a, b) => a.path < b.path ? -1 : 1);
}

/** The digest is all that differs between a file and its zeros. */
function changeOf(facts: string, { facts: actual, isZero }: TreeEntry): ManifestChange {
  const before = facts.split(" ").slice(0, -1).join(" ");
  return isZero && before === actual.split(" ").slice(0, -1).join(" ") ? "zeroed" : "changed";
}

/** One name of a tree. */
interface TreeEntry {
  /** All of its line but the path. */
  facts: string;
  /** Whether it is a file with content, all of it zeros. */
  isZero: boolean;
}

function readTree(rootFd: number, control: WorkControl): Map<ByteString, TreeEntry> {
  const found: [ByteString, TreeEntry][] = [];
  const digests = new Map<string, Content>();
  const stat = new Stat();
  const progress = { entries: 0, bytes: 0 };

  function visit(dirfd: number, name: ByteString, path: ByteString): void {
    const leaf = new CName().fill(name);
    lstatat(dirfd, leaf, stat);
    const type = TYPES.get(stat.mode & S_IFMT) ?? "?";
    const owned = `${type} ${(stat.mode & 0o7777).toString(8).padStart(4, "0")} ${stat.uid} ${stat.gid}`;
    control.tick(++progress.entries, progress.bytes);
    if (type === "d") {
      found.push([path, { facts: `${owned} - -`, isZero: false }]);
      using directory = new Fd(openat(dirfd, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      const names: ByteString[] = [];
      readDirectory(directory.fd, (buffer, start, end) => names.push(byteString(buffer, start, end)));
      for (const child of names) visit(directory.fd, child, path === "." ? child : `${path}/${child}`);
    } else if (type === "f") {
      const { size, nlink, fileKey } = stat;
      const content = digests.get(fileKey) ?? digestOf(dirfd, leaf, (bytes) => {
        progress.bytes += bytes;
        control.tick(progress.entries, progress.bytes);
      });
      if (nlink > 1) digests.set(fileKey, content);
      found.push([path, { facts: `${owned} ${size} ${content.digest}`, isZero: content.isZero && size > 0 }]);
    } else if (type === "l") {
      const target = readlinkat(dirfd, leaf);
      const digest = `sha256:${createHash("sha256").update(target).digest("hex")}`;
      found.push([path, { facts: `${owned} ${target.length} ${digest}`, isZero: false }]);
    } else {
      const device = type === "c" || type === "b" ? `${stat.rdevMajor}:${stat.rdevMinor}` : "-";
      found.push([path, { facts: `${owned} ${device} -`, isZero: false }]);
    }
  }

  visit(rootFd, ".", ".");
  return new Map(found.sort(([a], [b]) => a < b ? -1 : 1));
}

/** What is in a file. */
interface Content {
  digest: string;
  isZero: boolean;
}

function digestOf(dirfd: number, name: Uint8Array, onBytes: (bytes: number) => void): Content {
  using file = new Fd(openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  const hash = createHash("sha256");
  let isZero = true;
  for (let length = read(file.fd, PIECE); length > 0; length = read(file.fd, PIECE)) {
    const bytes = PIECE.subarray(0, length);
    hash.update(bytes);
    isZero &&= bytes.every((byte) => byte === 0);
    onBytes(length);
  }
  return { digest: `sha256:${hash.digest("hex")}`, isZero };
}

const LINE_REGEXP = /^([a-z?] [0-7]{4} \d+ \d+ \S+ (?:-|sha256:[0-9a-f]{64})) (\S+)$/;

function parse(manifest: string): Map<ByteString, string> {
  const [header, ...lines] = manifest.split("\n");
  const end = lines.pop();
  const count = lines.pop();
  if (header !== HEADER || end !== "" || count !== `${lines.length} entries`) {
    throw new StorageError("store_damaged", "Cannot read the manifest: it is not a whole one");
  }
  return new Map(lines.map((line) => {
    const match = LINE_REGEXP.exec(line);
    if (match === null) {
      throw new StorageError("store_damaged", `Cannot read the manifest: ${JSON.stringify(line.slice(0, 80))}`);
    }
    return [unescaped(match[2]!), match[1]!];
  }));
}

function escaped(path: ByteString): string {
  return path.replace(/[^\x21-\x5b\x5d-\x7e]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

function unescaped(text: string): ByteString {
  return text.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

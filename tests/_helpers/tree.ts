// SPDX-License-Identifier: Apache-2.0

/**
 * A directory tree as lines of text, for comparisons. Written over find(1), stat(1), getfattr(1) and sha256sum(1) on
 * purpose: an outside opinion, which does not share a mistake with lamina's own calls.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { runBytes } from "./run.ts";

/** One name of a tree. Names that are not UTF-8 appear with one character a byte (latin1). */
export interface TreeEntry {
  /** Relative to the tree's root, which is `.` itself. */
  path: string;
  /** find's letter: `f`, `d`, `l`, `c`, `b`, `p`, `s`. */
  type: string;
  /** Permission bits in octal. */
  mode: string;
  uid: string;
  gid: string;
  /** Bytes; empty for a directory, whose size is the file system's own affair. */
  size: string;
  /** Seconds with nanoseconds. */
  mtime: string;
  /** Of a symbolic link. */
  target: string;
  /** `major:minor` of a device, in hexadecimal. */
  device: string;
  /** The first path of the tree that is the same file; empty where this is the only one. */
  linkOf: string;
  /** `name=0x…`, without those that overlayfs keeps for itself. */
  xattrs: string[];
  /** SHA-256 of a regular file's content. */
  sha256: string;
}

/** What a comparison leaves out. */
export interface ListTreeOptions {
  /** Leaves out what is not the layer's to decide: paths for which this is true, and what lies below them. */
  ignore?: (path: string) => boolean;
  /** Leaves out the root directory itself. */
  withoutRoot?: boolean;
  /** What is seen of an entry, where not everything can be the same: without its attributes, with a rounded time. */
  seen?: (entry: TreeEntry) => TreeEntry;
}

const OVERLAY_XATTR_REGEXP = /^(trusted|user)\.overlay\./;

async function outputOf(directory: string, program: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runBytes(program, args, { cwd: directory });
  if (code !== 0) throw new Error(`${program} in ${directory} ended with ${code}: ${stderr}`);
  return Buffer.from(stdout).toString("latin1");
}

/** The fields of `text`, each ended by NUL, in groups of `size`. */
function* groups(text: string, size: number): Generator<string[]> {
  const fields = text.split("\0");
  for (let i = 0; i + size <= fields.length; i += size) yield fields.slice(i, i + size);
}

function relative(path: string): string {
  return path.startsWith("./") ? path.slice(2) : path;
}

async function devices(directory: string): Promise<Map<string, string>> {
  const args = [
    ".",
    "(",
    "-type",
    "c",
    "-o",
    "-type",
    "b",
    ")",
    "-exec",
    "stat",
    "--printf",
    "%n\\0%t:%T\\0",
    "{}",
    "+",
  ];
  const map = new Map<string, string>();
  for (const [path, device] of groups(await outputOf(directory, "find", args), 2)) map.set(relative(path!), device!);
  return map;
}

async function contents(directory: string): Promise<Map<string, string>> {
  const args = [".", "-type", "f", "-exec", "sha256sum", "-z", "{}", "+"];
  const map = new Map<string, string>();
  for (const [line] of groups(await outputOf(directory, "find", args), 1)) {
    if (line !== "") map.set(relative(line!.slice(66)), line!.slice(0, 64));
  }
  return map;
}

/** getfattr writes odd bytes of a name as `\ooo`. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

async function xattrs(directory: string): Promise<Map<string, string[]>> {
  const text = await outputOf(directory, "getfattr", ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "."]);
  const map = new Map<string, string[]>();
  for (const block of text.split("\n\n")) {
    const [head, ...lines] = block.split("\n");
    if (!head?.startsWith("# file: ")) continue;
    const kept = lines.filter((line) => line !== "" && !OVERLAY_XATTR_REGEXP.test(line)).map(unescape).sort();
    map.set(relative(unescape(head.slice("# file: ".length))), kept);
  }
  return map;
}

/** Every name below `directory`, the directory itself first, then in the order of their bytes. */
export async function readTree(directory: string, options: ListTreeOptions = {}): Promise<TreeEntry[]> {
  const [listing, deviceOf, sha256Of, xattrsOf] = await Promise.all([
    outputOf(directory, "find", [".", "-printf", "%p\\0%y\\0%m\\0%U\\0%G\\0%s\\0%T@\\0%l\\0%D:%i\\0"]),
    devices(directory),
    contents(directory),
    xattrs(directory),
  ]);
  const rows = [...groups(listing, 9)]
    .map((row) => [relative(row[0]!), ...row.slice(1)])
    .filter(([path]) => isWanted(path!, options))
    .sort(([a], [b]) => a! < b! ? -1 : 1);
  const firstOf = new Map<string, string>();
  return rows.map(([path, type, mode, uid, gid, size, mtime, target, inode]) => {
    const first = firstOf.get(inode!);
    if (first === undefined) firstOf.set(inode!, path!);
    return {
      path: path!,
      type: type!,
      mode: mode!,
      uid: uid!,
      gid: gid!,
      size: type === "d" ? "" : size!,
      mtime: mtime!,
      target: target!,
      device: deviceOf.get(path!) ?? "",
      linkOf: first ?? "",
      xattrs: xattrsOf.get(path!) ?? [],
      sha256: sha256Of.get(path!) ?? "",
    };
  });
}

function isWanted(path: string, { ignore, withoutRoot }: ListTreeOptions): boolean {
  if (path === ".") return withoutRoot !== true;
  if (ignore === undefined) return true;
  const parts = path.split("/");
  return !parts.some((_, i) => ignore(parts.slice(0, i + 1).join("/")));
}

/** {@linkcode readTree} as one line an entry. */
export async function listTree(directory: string, options: ListTreeOptions = {}): Promise<string[]> {
  const { seen = (entry): TreeEntry => entry } = options;
  return (await readTree(directory, options)).map((entry) =>
    Object.entries(seen(entry))
      .filter(([, value]) => value.length > 0)
      .map(([name, value]) => name === "path" ? JSON.stringify(value) : `${name}=${value}`)
      .join(" ")
  );
}

const MOST_DIFFERENCES = 20;

/** Fails, with the first lines that differ, unless the trees are the same in every respect that {@linkcode TreeEntry} has. */
export async function assertSameTree(actual: string, expected: string, options: ListTreeOptions = {}): Promise<void> {
  const [actualLines, expectedLines] = await Promise.all([listTree(actual, options), listTree(expected, options)]);
  const actualSet = new Set(actualLines);
  const expectedSet = new Set(expectedLines);
  const differences = [
    ...expectedLines.filter((line) => !actualSet.has(line)).map((line) => `- ${line}`),
    ...actualLines.filter((line) => !expectedSet.has(line)).map((line) => `+ ${line}`),
  ];
  if (differences.length === 0) return;
  // A changed entry has a line of each kind: bring them together.
  differences.sort((a, b) => a.slice(2) < b.slice(2) ? -1 : 1);
  const shown = differences.slice(0, MOST_DIFFERENCES).join("\n");
  throw new Error(
    `${actual} (+) is not the same tree as ${expected} (-), ${differences.length} lines differ:\n${shown}`,
  );
}

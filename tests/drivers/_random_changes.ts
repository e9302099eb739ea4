// SPDX-License-Identifier: Apache-2.0

/**
 * Trees, and changes to them, that are made up: whatever a program may do to a file system, in an order nobody chose.
 *
 * @module
 */

import { linkSync } from "node:fs";
import { AT_FDCWD, mknodat } from "../../ffi/file.ts";
import { lchownat, lutimesat } from "../../ffi/owner.ts";
import { S_IFBLK, S_IFCHR, S_IFIFO } from "../../ffi/stat.ts";
import { lsetxattr, tryLremovexattr } from "../../ffi/xattr.ts";
import type { Random } from "../fuzz/random.ts";

/** Few, so that changes meet: the same name is deleted, comes back, and is something else. */
const NAMES = ["a", "a-b", "b", "B", "new line\n", "ü", "c.d"] as const;
/** `cap_net_raw` and `cap_sys_admin`, permitted, in revision 2 of vfs_cap_data. */
const CAPABILITIES = [13, 21].map((bit) => {
  const value = new Uint8Array(20);
  const view = new DataView(value.buffer);
  view.setUint32(0, 0x02000000, true);
  view.setUint32(4, 2 ** bit, true);
  return value;
});
/** Whole seconds among them, which by Docker's rules equal any time of their second. */
const TIMES = [[1_000_000_000, 0], [1_000_000_001, 123_456_789], [1_600_000_000, 999_999_999], [-5, 500_000_000]];

/** Does `count` random things to the tree `root`; returns them, one line each. */
export function changeAtRandom(root: string, random: Random, count: number): string[] {
  const done: string[] = [];
  for (let i = 0; i < count; i++) {
    const path = pickPath(root, random);
    const change = random.pick(CHANGES);
    const found = infoOf(path);
    const line = `${change.name} ${JSON.stringify(path.slice(root.length))}`;
    if (change.wants !== "nothing" && found === undefined) continue;
    if (change.wants === "nothing" && found !== undefined) continue;
    if (change.wants === "file" && !found!.isFile) continue;
    change.make(path, random, root);
    done.push(line);
  }
  return done;
}

function infoOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Goes down from `root` for a while. */
function pickPath(root: string, random: Random): string {
  let directory = root;
  for (;;) {
    const path = `${directory}/${random.pick(NAMES)}`;
    if (!infoOf(path)?.isDirectory || random.oneIn(3)) return path;
    directory = path;
  }
}

interface RandomChange {
  name: string;
  /** What has to be at the path. */
  wants: "nothing" | "file" | "anything";
  make: (path: string, random: Random, root: string) => void;
}

const CHANGES: readonly RandomChange[] = [
  { name: "make file", wants: "nothing", make: makeFile },
  { name: "make file", wants: "nothing", make: makeFile },
  { name: "make directory", wants: "nothing", make: makeDirectory },
  { name: "make directories", wants: "nothing", make: makeDirectories },
  { name: "make symlink", wants: "nothing", make: (path, random): void => Deno.symlinkSync(random.pick(NAMES), path) },
  { name: "make special", wants: "nothing", make: makeSpecial },
  { name: "link", wants: "nothing", make: linkTo },
  { name: "rename to", wants: "nothing", make: renameTo },
  { name: "delete", wants: "anything", make: remove },
  { name: "replace by file", wants: "anything", make: (path, random): void => (remove(path), makeFile(path, random)) },
  { name: "replace by directory", wants: "anything", make: (path): void => (remove(path), makeDirectory(path)) },
  { name: "make again", wants: "anything", make: makeAgain },
  { name: "replace by symlink", wants: "anything", make: (path): void => (remove(path), Deno.symlinkSync("x", path)) },
  { name: "own", wants: "anything", make: (path, random): void => lchownat(AT_FDCWD, path, random.below(3), 7) },
  { name: "set time", wants: "anything", make: setTime },
  { name: "chmod", wants: "file", make: (path, random): void => Deno.chmodSync(path, random.pick([0o600, 0o4755])) },
  { name: "append", wants: "file", make: (path): void => Deno.writeTextFileSync(path, "more", { append: true }) },
  { name: "write", wants: "file", make: makeFile },
  { name: "set attribute", wants: "file", make: setAttribute },
  { name: "remove attribute", wants: "file", make: (path): void => void tryLremovexattr(path, "user.note") },
  {
    name: "set capability",
    wants: "file",
    make: (path, random): void => lsetxattr(path, "security.capability", random.pick(CAPABILITIES)),
  },
];

function makeFile(path: string, random: Random): void {
  Deno.writeTextFileSync(path, "x".repeat(random.below(3) * 700));
}

function makeDirectory(path: string): void {
  Deno.mkdirSync(path);
}

/** Two of them, with a file in the inner one. */
function makeDirectories(path: string, random: Random): void {
  const inner = `${path}/${random.pick(NAMES)}`;
  Deno.mkdirSync(inner, { recursive: true });
  makeFile(`${inner}/${random.pick(NAMES)}`, random);
}

function remove(path: string): void {
  Deno.removeSync(path, { recursive: true });
}

/** Of what the path is in, only directories come back: those in an opaque one are not marked themselves. */
function makeAgain(path: string, _random: Random, root: string): void {
  const [name] = path.slice(root.length + 1).split("/");
  const top = `${root}/${name}`;
  const directories = directoriesIn(top);
  remove(top);
  for (const directory of directories) makeDirectory(directory);
}

function directoriesIn(path: string): string[] {
  if (!Deno.lstatSync(path).isDirectory) return [];
  return [path, ...[...Deno.readDirSync(path)].flatMap(({ name }) => directoriesIn(`${path}/${name}`))];
}

function makeSpecial(path: string, random: Random): void {
  mknodat(AT_FDCWD, path, random.pick([S_IFIFO, S_IFCHR, S_IFBLK]) | 0o640, 1, random.below(8) + 1);
}

function setTime(path: string, random: Random): void {
  const [seconds, nanoseconds] = random.pick(TIMES);
  lutimesat(AT_FDCWD, path, seconds!, nanoseconds!);
}

function setAttribute(path: string, random: Random): void {
  lsetxattr(path, "user.note", new Uint8Array([random.below(2)]));
}

function linkTo(path: string, random: Random, root: string): void {
  const target = pickPath(root, random);
  const found = infoOf(target);
  if (found !== undefined && !found.isDirectory) linkSync(target, path);
}

/** Overlayfs moves no directory that came from below, and says so. */
function renameTo(path: string, random: Random, root: string): void {
  const source = pickPath(root, random);
  if (infoOf(source) === undefined || path.startsWith(`${source}/`)) return;
  try {
    Deno.renameSync(source, path);
  } catch (error) {
    if (!(error instanceof Error && error.message.includes("os error 18"))) throw error;
  }
}

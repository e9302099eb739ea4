// SPDX-License-Identifier: Apache-2.0

/**
 * Changes to a mounted layer, as a container would make them: every kind of change that a diff has to carry.
 *
 * @module
 */

import { linkSync } from "node:fs";
import { S_IFIFO } from "../ffi/stat.ts";
import { AT_FDCWD, mknodat } from "../ffi/file.ts";
import { lutimesat } from "../ffi/owner.ts";
import { lsetxattr } from "../ffi/xattr.ts";

/** Changes `root`; what was done, one line each. What the tree has no file for is left out. */
export function changeTree(root: string): string[] {
  return [...changeWhatIsThere(root), ...addWhatIsNew(root)];
}

function changeWhatIsThere(root: string): string[] {
  const directory = findDirectory(root, root);
  const files = findFiles(root, directory, FILE_CHANGES.length);
  const done = files.map((file, i) => `${FILE_CHANGES[i]!.name} ${file.slice(root.length)}`);
  files.forEach((file, i) => FILE_CHANGES[i]!.make(file));
  if (directory === undefined) return done;
  recreate(directory);
  return [...done, `delete and re-create ${directory.slice(root.length)}/`];
}

const FILE_CHANGES: readonly { name: string; make: (file: string) => void }[] = [
  { name: "write", make: (file): void => Deno.writeTextFileSync(file, "written by the demo\n") },
  { name: "append to", make: (file): void => Deno.writeTextFileSync(file, "appended\n", { append: true }) },
  { name: "chmod", make: (file): void => Deno.chmodSync(file, 0o640) },
  { name: "rename", make: (file): void => Deno.renameSync(file, `${file}.renamed`) },
  { name: "delete", make: (file): void => Deno.removeSync(file) },
  { name: "chown", make: (file): void => Deno.chownSync(file, 1234, 5678) },
  { name: "link", make: (file): void => linkSync(file, `${file}.link`) },
  { name: "truncate", make: (file): void => Deno.truncateSync(file, 0) },
  { name: "set an xattr of", make: (file): void => lsetxattr(file, "user.demo", new TextEncoder().encode("changed")) },
  { name: "set the time of", make: (file): void => lutimesat(AT_FDCWD, file, 1_000_000_000, 123_456_789) },
  { name: "replace by a symlink", make: replaceBySymlink },
  { name: "replace by a directory", make: replaceByDirectory },
];

function replaceBySymlink(file: string): void {
  Deno.removeSync(file);
  Deno.symlinkSync("elsewhere", file);
}

function replaceByDirectory(file: string): void {
  Deno.removeSync(file);
  Deno.mkdirSync(file);
  Deno.writeTextFileSync(`${file}/inside`, "once a file\n");
}

/** The new directory must show nothing of the old one, which is still there below. */
function recreate(directory: string): void {
  Deno.removeSync(directory, { recursive: true });
  Deno.mkdirSync(directory);
  Deno.writeTextFileSync(`${directory}/new`, "alone here\n");
}

function addWhatIsNew(root: string): string[] {
  const directory = `${root}/lamina-demo`;
  Deno.mkdirSync(directory, { mode: 0o750 });
  Deno.writeTextFileSync(`${directory}/setuid`, "#!/bin/sh\n");
  Deno.chownSync(`${directory}/setuid`, 1234, 5678);
  Deno.chmodSync(`${directory}/setuid`, 0o4755);
  linkSync(`${directory}/setuid`, `${directory}/hard link`);
  Deno.symlinkSync("../etc/passwd", `${directory}/symlink`);
  mknodat(AT_FDCWD, `${directory}/fifo`, S_IFIFO | 0o600);
  Deno.writeTextFileSync(`${directory}/${"long name ".repeat(20)}`, "");
  return ["add /lamina-demo/ with a setuid file, a hard link, a symlink, a fifo and a long name"];
}

const LARGEST_FILE = 1e6;

/** The first `count` regular files outside `except` that have one name each. */
function findFiles(root: string, except: string | undefined, count: number): string[] {
  const files: string[] = [];
  const visit = (directory: string): void => {
    for (const { path, info } of list(directory)) {
      if (files.length === count) return;
      if (path === except) continue;
      if (info.isDirectory) visit(path);
      else if (info.isFile && info.size > 0 && info.size < LARGEST_FILE && info.nlink === 1) files.push(path);
    }
  };
  visit(root);
  return files;
}

const FEWEST_BELOW = 2;
const MOST_BELOW = 200;

/** The last directory, deepest first, that is worth deleting and soon deleted. */
function findDirectory(root: string, directory: string): string | undefined {
  for (const { path, info } of list(directory).reverse()) {
    if (!info.isDirectory) continue;
    const found = findDirectory(root, path);
    if (found !== undefined) return found;
  }
  if (directory === root) return undefined;
  const below = countBelow(directory);
  return below >= FEWEST_BELOW && below <= MOST_BELOW ? directory : undefined;
}

function countBelow(directory: string): number {
  return list(directory).reduce((sum, { path, info }) => sum + 1 + (info.isDirectory ? countBelow(path) : 0), 0);
}

/** Entries in the order of their names, without those that JavaScript cannot name. */
function list(directory: string): { path: string; info: Deno.FileInfo }[] {
  return [...Deno.readDirSync(directory)]
    .map(({ name }) => `${directory}/${name}`)
    .sort()
    .flatMap((path) => {
      try {
        return [{ path, info: Deno.lstatSync(path) }];
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return [];
        throw error;
      }
    });
}

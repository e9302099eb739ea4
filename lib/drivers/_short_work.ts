// SPDX-License-Identifier: Apache-2.0

/**
 * Work that is not worth a Worker, nor loading what Workers need.
 *
 * @module
 */

import { AT_FDCWD, AT_REMOVEDIR, Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat, tryUnlinkat } from "../../ffi/file.ts";
import { type DirectoryEntry, emptySmallDirectory, readFewEntries, removeSmallTree } from "../util/remove_tree.ts";
import type { Tasks } from "./_work.ts";

/** How many names a thread removes in about the time that it takes to ask another one to do it. */
const FEW_NAMES = 16;

/** The task `remove`, if it is done sooner than another thread could answer; whether it is done. */
export function removeIfSmall({ directory, name }: Tasks["remove"]["args"]): boolean {
  using parent = new Fd(openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return removeSmallTree(parent.fd, name, FEW_NAMES);
}

/** What is in the layer's directory that is open at `fd`; undefined where that is more than any layer has. */
export function readLayerEntries(fd: number): DirectoryEntry[] | undefined {
  return readFewEntries(fd, FEW_NAMES);
}

/** As {@linkcode removeIfSmall}, of the layer's directory `path`, which is open at `fd` and was read. */
export function removeLayerIfSmall(fd: number, path: string, entries: readonly DirectoryEntry[] | undefined): boolean {
  return entries !== undefined && emptySmallDirectory(fd, entries, FEW_NAMES) &&
    tryUnlinkat(AT_FDCWD, path, AT_REMOVEDIR) === 0;
}

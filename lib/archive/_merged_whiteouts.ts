// SPDX-License-Identifier: Apache-2.0

/**
 * Whiteouts on a tree that shows all layers already: they delete. Links are not followed, and what is mounted somewhere
 * in the tree is never touched.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  Fd,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat2,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  unlinkat,
} from "../../ffi/file.ts";
import { lstatat, Stat, tryStatx } from "../../ffi/stat.ts";
import { type ByteString, byteString, CName } from "../util/byte_string.ts";
import { removeTree } from "../util/remove_tree.ts";
import type { OpenDirectory } from "./_directories.ts";
import { realPath, type WhiteoutTarget } from "./_whiteout_target.ts";
import { parentOf } from "./entry_path.ts";

/** Deletes what whiteouts name. */
export class MergedWhiteouts implements WhiteoutTarget {
  /** What this archive made, with all directories on the way, by paths without links. */
  readonly #made = new Set<ByteString>();
  /** Directories in which, and below which, there is nothing else any more, by such paths. */
  readonly #emptied = new Set<ByteString>();
  readonly #leaf = new CName();
  readonly #stat = new Stat();
  readonly #beforeRemoval: () => void;

  /** @param beforeRemoval Called before directories or links go away. */
  constructor(beforeRemoval: () => void) {
    this.#beforeRemoval = beforeRemoval;
  }

  deleteName(parent: OpenDirectory, name: ByteString): void {
    const leaf = this.#leaf.fill(name);
    if (tryStatx(parent.fd, leaf, AT_SYMLINK_NOFOLLOW, this.#stat) < 0) return;
    const path = realPath(parent, name);
    const { isDirectory, isSymlink } = this.#stat;
    if (!this.#made.has(path)) {
      if (isDirectory || isSymlink) this.#beforeRemoval();
      removeTree(parent.fd, leaf);
    } else if (isDirectory) this.#emptyOnce(parent.fd, name, path);
  }

  makeOpaque(directory: OpenDirectory): void {
    this.#emptyOnce(directory.fd, ".", directory.path);
  }

  /** As {@linkcode #emptyOfOthers}: again there is nothing to be found, however often an archive says so. */
  #emptyOnce(dirfd: number, name: ByteString, path: ByteString): void {
    if (this.#isEmptied(path)) return;
    this.#beforeRemoval();
    this.#emptyOfOthers(dirfd, name, path);
    this.#emptied.add(path);
  }

  #isEmptied(path: ByteString): boolean {
    for (let above = path; above !== ""; above = parentOf(above)) if (this.#emptied.has(above)) return true;
    return this.#emptied.has("");
  }

  made(parent: OpenDirectory, leaf: ByteString): void {
    for (let path = realPath(parent, leaf); path !== "" && !this.#made.has(path); path = parentOf(path)) {
      this.#made.add(path);
    }
  }

  madeDirectory(parent: OpenDirectory, leaf: ByteString): void {
    this.made(parent, leaf);
  }

  clearWay(parent: OpenDirectory, name: ByteString): boolean {
    const leaf = this.#leaf.fill(name);
    // A link that leads nowhere stays: who wrote the archive meant its target.
    if (lstatat(parent.fd, leaf, this.#stat).isSymlink || this.#made.has(realPath(parent, name))) return false;
    unlinkat(parent.fd, leaf);
    return true;
  }

  /** Removes from the directory `path` what this archive did not make. */
  #emptyOfOthers(dirfd: number, name: ByteString, path: ByteString): void {
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    using directory = new Fd(
      openat2(dirfd, new CName().fill(name), flags, RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS),
    );
    const names: ByteString[] = [];
    readDirectory(directory.fd, (buffer, start, end) => names.push(byteString(buffer, start, end)));
    for (const child of names) {
      const childPath = path === "" ? child : `${path}/${child}`;
      const leaf = this.#leaf.fill(child);
      if (!this.#made.has(childPath)) removeTree(directory.fd, leaf);
      else if (lstatat(directory.fd, leaf, this.#stat).isDirectory) {
        this.#emptyOfOthers(directory.fd, child, childPath);
      }
    }
  }
}

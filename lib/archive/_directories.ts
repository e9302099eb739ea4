// SPDX-License-Identifier: Apache-2.0

/**
 * The directories of a tree being unpacked, as open descriptors. Every name of an archive is reached through one of
 * them, and none of them can lie outside the root: each is opened from its parent without following links, or at once from
 * the root if there are none on the way (openat2, RESOLVE_BENEATH), or, where a component is a symbolic link, by the
 * kernel's own lookup that treats the root as `/` (RESOLVE_IN_ROOT). No path is checked and then used, so another process
 * that swaps a directory for a link meanwhile gains nothing.
 *
 * @module
 */

import { ERRNO, failure } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  close,
  mkdirat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  readlinkat,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  tryOpenat,
  tryOpenat2,
} from "../../ffi/file.ts";
import { fstat, S_ISGID, Stat, tryStatx } from "../../ffi/stat.ts";
import { lchmodat } from "../../ffi/owner.ts";
import { StorageError } from "../errors.ts";
import { type ByteString, byteString, CName, textOfBytes } from "../util/byte_string.ts";
import type { EntryOwners, Ids } from "./_entry_owner.ts";
import { leafOf, parentOf } from "./entry_path.ts";

const O_DIRECTORY_PATH = O_PATH | O_DIRECTORY;
/** Archives are in tree order, so a few are enough; a process may open 1024 files unless told otherwise. */
const OPEN_AT_MOST = 256;
/** Of directories that no entry tells of. */
export const IMPLIED_MODE = 0o755;

/** A directory that is open. */
export interface OpenDirectory {
  fd: number;
  /** Its path without links. Another path may lead here too. */
  path: ByteString;
  /** Whether new entries take this directory's group. */
  isSetgid: boolean;
}

/** Opens, makes and forgets directories below one root. Disposing it closes them all, the root's descriptor excepted. */
export class Directories implements Disposable {
  readonly #root: OpenDirectory;
  readonly #open = new Map<ByteString, OpenDirectory>();
  readonly #stale: number[] = [];
  readonly #owner: Ids;
  readonly #owners: EntryOwners;
  readonly #clearWay: (parent: OpenDirectory, leaf: ByteString) => boolean;
  readonly #made: (parent: OpenDirectory, leaf: ByteString) => void;
  readonly #leaf = new CName();
  readonly #whole = new CName();
  readonly #stat = new Stat();
  #lastPath: ByteString = "";
  #last: OpenDirectory;

  /**
   * @param rootFd The root, open as a directory.
   * @param owner Whom implied directories are given to.
   * @param clearWay Called with a name that should be a directory and is neither one nor leads to one; true if it
   * could be put out of the way.
   * @param made Called for each implied directory.
   */
  constructor(
    rootFd: number,
    owner: Ids,
    owners: EntryOwners,
    clearWay: (parent: OpenDirectory, leaf: ByteString) => boolean,
    made: (parent: OpenDirectory, leaf: ByteString) => void,
  ) {
    this.#clearWay = clearWay;
    this.#made = made;
    this.#root = { fd: rootFd, path: "", isSetgid: this.#isSetgid(rootFd) };
    this.#last = this.#root;
    this.#owner = owner;
    this.#owners = owners;
  }

  get root(): OpenDirectory {
    return this.#root;
  }

  /** The directory `path`, made with its parents if it is not there. */
  require(path: ByteString): OpenDirectory {
    return this.#lookUp(path, true)!;
  }

  /** The directory `path`, or undefined if it is not there. */
  find(path: ByteString): OpenDirectory | undefined {
    return this.#lookUp(path, false);
  }

  /**
   * Forgets everything, since a directory or a link is about to be replaced. A symbolic link can stand in the middle of
   * any path that is known, so nothing less would do; replacements are rare, and what is still needed opens again. The
   * descriptors stay good until {@linkcode trim}.
   */
  forgetAll(): void {
    for (const directory of this.#open.values()) this.#stale.push(directory.fd);
    this.#open.clear();
    this.#lastPath = "";
    this.#last = this.#root;
  }

  /** Closes what is no longer needed. Between entries only: during one, its directories must not vanish. */
  trim(): void {
    if (this.#open.size > OPEN_AT_MOST) this.forgetAll();
    while (this.#stale.length > 0) close(this.#stale.pop()!);
  }

  [Symbol.dispose](): void {
    this.forgetAll();
    this.trim();
  }

  #lookUp(path: ByteString, make: boolean): OpenDirectory | undefined {
    // Neighbours in an archive mostly share their directory.
    if (path === this.#lastPath) return this.#last;
    const directory = path === "" ? this.#root : this.#open.get(path) ?? this.#openFresh(path, make);
    if (directory === undefined) return undefined;
    this.#lastPath = path;
    this.#last = directory;
    return directory;
  }

  #openFresh(path: ByteString, make: boolean): OpenDirectory | undefined {
    const above = parentOf(path);
    const whole = above === "" || above === this.#lastPath || this.#open.has(above)
      ? undefined
      : this.#openAtOnce(path);
    if (whole !== undefined) return whole;
    const parent = this.#lookUp(above, make);
    if (parent === undefined) return undefined;
    const name = leafOf(path);
    const leaf = this.#leaf.fill(name);
    let fd = tryOpenat(parent.fd, leaf, O_DIRECTORY_PATH | O_NOFOLLOW);
    if (fd >= 0) return this.#remember(path, fd, parent.path === "" ? name : `${parent.path}/${name}`);
    if (fd === -ERRNO.ELOOP || fd === -ERRNO.ENOTDIR) {
      fd = this.#openThroughLinks(this.#whole.fill(path));
      if (fd >= 0) return this.#remember(path, fd, this.#pathOf(fd));
    }
    const isMissing = fd === -ERRNO.ENOENT || fd === -ERRNO.ENOTDIR || fd === -ERRNO.ELOOP;
    if (!make) {
      if (isMissing) return undefined;
      throw this.#unusable(path, -fd);
    }
    if (tryStatx(parent.fd, leaf, AT_SYMLINK_NOFOLLOW, this.#stat) >= 0 && !this.#clearWay(parent, name)) {
      throw this.#unusable(path, -fd);
    }
    this.#makeImplied(parent, leaf);
    this.#made(parent, name);
    fd = tryOpenat(parent.fd, leaf, O_DIRECTORY_PATH | O_NOFOLLOW);
    if (fd < 0) throw this.#unusable(path, -fd);
    return this.#remember(path, fd, parent.path === "" ? name : `${parent.path}/${name}`);
  }

  /**
   * Where nothing above it is open: to open a thousand levels, each from the one above, takes three thousand calls. Missing
   * directories, and paths that are too long for one call, are left to that.
   */
  #openAtOnce(path: ByteString): OpenDirectory | undefined {
    const whole = this.#whole.fill(path);
    let fd = tryOpenat2(this.#root.fd, whole, O_DIRECTORY_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (fd >= 0) return this.#remember(path, fd, path);
    if (fd === -ERRNO.ELOOP) fd = this.#openThroughLinks(whole);
    return fd < 0 ? undefined : this.#remember(path, fd, this.#pathOf(fd));
  }

  #openThroughLinks(path: Uint8Array<ArrayBuffer>): number {
    return tryOpenat2(this.#root.fd, path, O_DIRECTORY_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  }

  /** Where the kernel's own lookup arrived. */
  #pathOf(fd: number): ByteString {
    const root = byteString(readlinkat(AT_FDCWD, `/proc/self/fd/${this.#root.fd}`));
    const path = byteString(readlinkat(AT_FDCWD, `/proc/self/fd/${fd}`));
    return path.slice(root === "/" ? 1 : root.length + 1);
  }

  #makeImplied(parent: OpenDirectory, leaf: Uint8Array<ArrayBuffer>): void {
    mkdirat(parent.fd, leaf, IMPLIED_MODE);
    if (this.#owners.needs(this.#owner, parent)) {
      this.#owners.give(parent.fd, leaf, this.#owner);
      lchmodat(parent.fd, leaf, IMPLIED_MODE);
    }
  }

  #unusable(path: ByteString, errno: number): StorageError {
    const cause = failure(errno, "openat2", this.#root.fd, textOfBytes(path), "…");
    const isArchivesFault = errno === ERRNO.ENOENT || errno === ERRNO.ENOTDIR || errno === ERRNO.ELOOP ||
      errno === ERRNO.ENAMETOOLONG;
    if (!isArchivesFault) throw cause;
    return new StorageError(
      "invalid_archive",
      `Cannot unpack into "${textOfBytes(path)}": it is not a directory in this archive`,
      { cause },
    );
  }

  #remember(path: ByteString, fd: number, realPath: ByteString): OpenDirectory {
    const directory = { fd, path: realPath, isSetgid: this.#isSetgid(fd) };
    this.#open.set(path, directory);
    return directory;
  }

  #isSetgid(fd: number): boolean {
    return (fstat(fd, this.#stat).mode & S_ISGID) !== 0;
  }
}

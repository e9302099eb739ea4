// SPDX-License-Identifier: Apache-2.0

/**
 * From where and where to files are copied, as open directories and names in them. In a layer, names are resolved by the
 * kernel with the layer as the root (openat2, RESOLVE_IN_ROOT), wherever symbolic links and `..` would lead.
 *
 * @module
 */

import { ERRNO, failure } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  Fd,
  mkdirat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  tryOpenat,
  tryOpenat2,
} from "../../ffi/file.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";
import { bytesOfText, type ByteString } from "../util/byte_string.ts";

/** What is copied. */
export interface CopySource extends Disposable {
  readonly directory: Fd;
  /** A name in the directory; undefined for all that is in it. */
  readonly name: ByteString | undefined;
  /** What it is called in a directory that it is copied into; undefined where it goes into that itself. */
  readonly leaf: string | undefined;
  readonly isDirectory: boolean;
}

/** Where it is copied to. */
export interface CopyTarget extends Disposable {
  readonly directory: Fd;
  /** What it is called there; undefined for what has no name of its own. */
  readonly as: ByteString | undefined;
}

const READ_DIRECTORY = O_RDONLY | O_DIRECTORY;
const NEW_DIRECTORY_MODE = 0o755;
/** A path that can only be that of a directory. */
const DIRECTORY_REGEXP = /(?:^|\/)\.{0,2}$/;

/** A tree in which paths have a meaning. */
export class CopyPlaces implements Disposable {
  readonly #root: Fd | undefined;

  private constructor(root: Fd | undefined) {
    this.#root = root;
  }

  /** The tree below the directory `root`, which no path leads out of. */
  static inRoot(root: string): CopyPlaces {
    return new CopyPlaces(new Fd(openat(AT_FDCWD, root, READ_DIRECTORY)));
  }

  /** All of the host. */
  static ofHost(): CopyPlaces {
    return new CopyPlaces(undefined);
  }

  /** @throws {StorageError} `invalid_argument`: there is no such file. */
  source(unsafePath: string): CopySource {
    const { parent, leaf } = split(unsafePath);
    const content = { name: undefined, isDirectory: true };
    if (DIRECTORY_REGEXP.test(leaf)) return closing(this.#require(unsafePath), { ...content, leaf: undefined });
    using undo = new DisposableStack();
    const directory = undo.use(this.#require(parent));
    const stat = lookAt(directory, leaf);
    if (stat === undefined) throw noSuch(unsafePath, ERRNO.ENOENT);
    // What a link leads to has no name in this directory.
    if (unsafePath.endsWith("/") && !stat.isDirectory) return closing(this.#require(unsafePath), { ...content, leaf });
    undo.move();
    return closing(directory, { name: bytesOfText(leaf), leaf, isDirectory: stat.isDirectory });
  }

  /** @throws {StorageError} `invalid_argument`: there is no such directory. */
  directory(unsafePath: string): CopyTarget {
    return closing(this.#require(unsafePath), { as: undefined });
  }

  /**
   * Where `source` goes: into a directory that is there, else by the name that `unsafePath` gives it.
   *
   * @throws {StorageError} `invalid_argument`: a directory is missing, or something else is in its place.
   */
  target(unsafePath: string, source: CopySource): CopyTarget {
    const fd = this.#open(unsafePath);
    if (fd >= 0) {
      const directory = new Fd(fd);
      return source.leaf === undefined ? closing(directory, { as: undefined }) : below(directory, source.leaf, source);
    }
    const { parent, leaf } = split(unsafePath);
    const isAllowed = (fd === -ERRNO.ENOENT || fd === -ERRNO.ENOTDIR) && !DIRECTORY_REGEXP.test(leaf);
    if (!isAllowed || unsafePath.endsWith("/") && !source.isDirectory) throw noSuch(unsafePath, -fd);
    return below(this.#require(parent), leaf, source);
  }

  #require(unsafePath: string): Fd {
    const fd = this.#open(unsafePath);
    if (fd < 0) throw noSuch(unsafePath, -fd);
    return new Fd(fd);
  }

  /** A descriptor, or a negative errno. */
  #open(unsafePath: string): number {
    if (this.#root === undefined) return tryOpenat(AT_FDCWD, unsafePath, READ_DIRECTORY);
    const path = unsafePath === "" ? "/" : unsafePath;
    return tryOpenat2(this.#root.fd, path, READ_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  }

  [Symbol.dispose](): void {
    this.#root?.[Symbol.dispose]();
  }
}

function closing<T extends object>(directory: Fd, place: T): T & { directory: Fd } & Disposable {
  return { ...place, directory, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

/**
 * `leaf` in `directory`; for what has no name of its own, a directory of that name, which is made if it is not there.
 *
 * @throws {StorageError} `invalid_argument`: a directory would take the place of something else, or the other way round.
 */
function below(directory: Fd, leaf: string, { name, isDirectory }: CopySource): CopyTarget {
  using undo = new DisposableStack();
  undo.use(directory);
  const existing = lookAt(directory, leaf);
  if (existing !== undefined && existing.isDirectory !== isDirectory) {
    const [what, where] = isDirectory ? ["a directory", "no directory"] : ["what is no directory", "a directory"];
    throw new StorageError("invalid_argument", `Cannot copy ${what} to "${leaf}": that is ${where}`);
  }
  if (name === undefined) {
    if (existing === undefined) mkdirat(directory.fd, leaf, NEW_DIRECTORY_MODE);
    return closing(new Fd(openat(directory.fd, leaf, READ_DIRECTORY | O_NOFOLLOW)), { as: undefined });
  }
  undo.move();
  return closing(directory, { as: bytesOfText(leaf) });
}

/** Everything before the last name, and that. */
function split(unsafePath: string): { parent: string; leaf: string } {
  const path = unsafePath.replace(/\/+$/, "");
  const slash = path.lastIndexOf("/");
  return { parent: slash === -1 ? "." : path.slice(0, slash + 1), leaf: path.slice(slash + 1) };
}

function lookAt(directory: Fd, leaf: string): Stat | undefined {
  const stat = new Stat();
  const result = tryStatx(directory.fd, leaf, AT_SYMLINK_NOFOLLOW, stat);
  if (result === 0) return stat;
  if (result === -ERRNO.ENOENT) return undefined;
  throw failure(-result, "statx", directory.fd, leaf);
}

function noSuch(unsafePath: string, errno: number): StorageError | Error {
  const cause = failure(errno, "open", unsafePath);
  const reason = new Map<number, string>([
    [ERRNO.ENOENT, "there is no such file or directory"],
    [ERRNO.ENOTDIR, "a part of the path is no directory"],
    [ERRNO.ELOOP, "its symbolic links lead nowhere"],
  ]).get(errno);
  if (reason === undefined) return cause;
  return new StorageError("invalid_argument", `Cannot copy "${unsafePath}": ${reason}`, { cause });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Copying a directory with everything in it, by descriptors: owners, modes, times, extended attributes and ACLs, holes,
 * devices, hard links, and what overlayfs keeps there (whiteouts and marks). No symbolic link is followed. Sockets stay
 * behind: they are nothing without the program that listens.
 *
 * The order of the calls on one file is not free: a change of owner clears setuid bits and capabilities, so owner comes
 * first, then attributes, then the mode, and times last. Directories are finished when everything is in them: what goes
 * in changes their times, and would inherit their default ACL.
 *
 * @module
 */

import { DT_DIR, DT_SOCK, DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { ERRNO, failure, isErrno } from "../../ffi/errno.ts";
import {
  Fd,
  ftruncate,
  linkat,
  mkdirat,
  mknodat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  openat,
  readlinkat,
  SEEK_DATA,
  SEEK_HOLE,
  symlinkat,
  tryLseek,
} from "../../ffi/file.ts";
import { fchmod, fchown, futimens, lchmodat, lchownat, lutimesat } from "../../ffi/owner.ts";
import { fstat, lstatat, S_IFMT, S_IFSOCK, Stat } from "../../ffi/stat.ts";
import { fgetxattr, flistxattr, lgetxattr, llistxattr, tryFsetxattr, tryLsetxattr } from "../../ffi/xattr.ts";
import { type ByteString, byteString, CName } from "./byte_string.ts";
import { copyFile } from "./copy_file.ts";
import { UNWATCHED, type WorkControl } from "./work_control.ts";

/**
 * `copy`: files of their own. `link`: the same files under new names (link(2)), which takes no space but that of the
 * directories; who then writes to such a file in place changes it in both trees.
 */
export type CopyTreeMode = "copy" | "link";

/**
 * Copies the open directory `sourceFd` with its own metadata into the open, empty directory `targetFd`.
 *
 * @throws {SyscallError} What is in the target by then stays: the caller throws it away.
 * @throws {StorageError} `aborted`.
 */
export function copyTree(
  sourceFd: number,
  targetFd: number,
  mode: CopyTreeMode,
  control: WorkControl = UNWATCHED,
): void {
  new TreeCopier(targetFd, mode, control).copyDirectory(sourceFd, targetFd, "");
}

/** While it is filled, nobody else looks into a directory. */
const UNFINISHED_MODE = 0o700;
const BLOCK_SIZE = 512;

class TreeCopier {
  /** Where in the target the first name of a file with several names is. */
  readonly #firstNames = new Map<string, ByteString>();
  readonly #stat = new Stat();
  readonly #place = new CName();
  #entries = 0;
  #bytes = 0;
  readonly #tick: () => void;

  constructor(readonly rootFd: number, readonly mode: CopyTreeMode, control: WorkControl) {
    this.#tick = (): void => control.tick(this.#entries, this.#bytes);
  }

  copyDirectory(sourceFd: number, targetFd: number, path: ByteString): void {
    const directories: ByteString[] = [];
    const others: ByteString[] = [];
    // A descriptor of its own: reading a directory moves the position of the one that is handed in.
    using source = new Fd(openat(sourceFd, ".", O_RDONLY | O_DIRECTORY));
    readDirectory(source.fd, (buffer, start, end, type) => {
      if (type === DT_SOCK) return;
      // The kernel ends the name with a NUL, so its own buffer is the argument.
      const leaf = buffer.subarray(start);
      if (type === DT_DIR || type === DT_UNKNOWN && lstatat(source.fd, leaf, this.#stat).isDirectory) {
        directories.push(byteString(buffer, start, end));
        return;
      }
      this.#entries++;
      if (this.mode === "copy" || !this.#link(source.fd, leaf, targetFd, leaf)) {
        others.push(byteString(buffer, start, end));
      }
    });
    this.#tick();
    const leaf = new CName();
    for (const name of others) this.#copyName(source.fd, targetFd, leaf.fill(name), below(path, name));
    for (const name of directories) {
      this.#entries++;
      mkdirat(targetFd, leaf.fill(name), UNFINISHED_MODE);
      using from = new Fd(openat(source.fd, leaf.fill(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      using to = new Fd(openat(targetFd, leaf.fill(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      this.copyDirectory(from.fd, to.fd, below(path, name));
    }
    this.#finishOpen(source.fd, targetFd, fstat(source.fd, this.#stat));
  }

  /** Whether the file has got its name in the target. A file system allows so many names a file, and ext4 only 65000. */
  #link(sourceFd: number, source: Uint8Array, targetFd: number, target: Uint8Array): boolean {
    try {
      linkat(sourceFd, source, targetFd, target);
      return true;
    } catch (error) {
      if (isErrno(error, "EMLINK")) return false;
      throw error;
    }
  }

  #copyName(sourceFd: number, targetFd: number, leaf: Uint8Array<ArrayBuffer>, path: ByteString): void {
    const stat = lstatat(sourceFd, leaf, this.#stat);
    const type = stat.mode & S_IFMT;
    if (type === S_IFSOCK) return;
    if (stat.nlink > 1) {
      const { fileKey } = stat;
      const first = this.#firstNames.get(fileKey);
      if (first !== undefined && this.#link(this.rootFd, this.#place.fill(first), targetFd, leaf)) return;
      this.#firstNames.set(fileKey, path);
    }
    if (stat.isFile) this.#copyFile(sourceFd, targetFd, leaf, stat);
    else {
      if (stat.isSymlink) {
        symlinkat(this.#place.fill(byteString(readlinkat(sourceFd, leaf))), targetFd, leaf);
      } else mknodat(targetFd, leaf, stat.mode, stat.rdevMajor, stat.rdevMinor);
      this.#finishName(sourceFd, targetFd, leaf, path, stat);
    }
  }

  #copyFile(sourceFd: number, targetFd: number, leaf: Uint8Array<ArrayBuffer>, stat: Stat): void {
    using from = new Fd(openat(sourceFd, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    using to = new Fd(openat(targetFd, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
    const { size } = stat;
    if (stat.blocks * BLOCK_SIZE >= size) copyFile(from.fd, to.fd, size, this.#tick);
    else this.#copySparse(from.fd, to.fd, size);
    this.#bytes += size;
    this.#finishOpen(from.fd, to.fd, stat);
  }

  #copySparse(sourceFd: number, targetFd: number, size: number): void {
    for (let end = 0; end < size;) {
      const start = seek(sourceFd, end, SEEK_DATA);
      if (start === undefined) break;
      end = seek(sourceFd, start, SEEK_HOLE) ?? size;
      seek(sourceFd, start, SEEK_SET);
      seek(targetFd, start, SEEK_SET);
      copyFile(sourceFd, targetFd, end - start, this.#tick);
    }
    ftruncate(targetFd, size);
  }

  #finishOpen(sourceFd: number, targetFd: number, stat: Stat): void {
    fchown(targetFd, stat.uid, stat.gid);
    for (const name of flistxattr(sourceFd)) {
      const value = fgetxattr(sourceFd, name);
      const result = value === undefined ? 0 : tryFsetxattr(targetFd, name, value);
      if (result < 0) throw failure(-result, "fsetxattr", targetFd, name, "…", value?.length);
    }
    fchmod(targetFd, stat.mode & PERMISSIONS);
    futimens(targetFd, stat.mtimeSeconds, stat.mtimeNanoseconds);
  }

  #finishName(
    sourceFd: number,
    targetFd: number,
    leaf: Uint8Array<ArrayBuffer>,
    path: ByteString,
    stat: Stat,
  ): void {
    lchownat(targetFd, leaf, stat.uid, stat.gid);
    this.#copyNameXattrs(sourceFd, targetFd, path.slice(path.lastIndexOf("/") + 1));
    if (!stat.isSymlink) lchmodat(targetFd, leaf, stat.mode & PERMISSIONS);
    lutimesat(targetFd, leaf, stat.mtimeSeconds, stat.mtimeNanoseconds);
  }

  /** Links and devices cannot be opened for their attributes: through their directory's descriptor in /proc they have a name. */
  #copyNameXattrs(sourceFd: number, targetFd: number, name: ByteString): void {
    const source = this.#place.fill(`/proc/self/fd/${sourceFd}/${name}`);
    const xattrs = llistxattr(source).map((xattr) => [xattr, lgetxattr(source, xattr)] as const);
    if (xattrs.length === 0) return;
    const target = this.#place.fill(`/proc/self/fd/${targetFd}/${name}`);
    for (const [xattr, value] of xattrs) {
      const result = value === undefined ? 0 : tryLsetxattr(target, xattr, value);
      if (result < 0) throw failure(-result, "lsetxattr", target, xattr, "…", value?.length);
    }
  }
}

const SEEK_SET = 0;
const PERMISSIONS = 0o7777;

/** Undefined where no data follow. */
function seek(fd: number, offset: number, whence: 0 | typeof SEEK_DATA | typeof SEEK_HOLE): number | undefined {
  const position = tryLseek(fd, offset, whence);
  if (position === -ERRNO.ENXIO) return undefined;
  if (position < 0) throw failure(-position, "lseek", fd, offset, whence);
  return position;
}

function below(path: ByteString, name: ByteString): ByteString {
  return path === "" ? name : `${path}/${name}`;
}

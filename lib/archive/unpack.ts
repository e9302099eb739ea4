// SPDX-License-Identifier: Apache-2.0

/**
 * Tar -> directory: fills the upper directory of an overlay layer. Whiteouts become what overlayfs takes for deleted
 * names; everything else becomes itself, with owner, mode, times and attributes.
 *
 * The order of the calls on one file is not free: a change of owner clears setuid bits and capabilities, so owner comes
 * first, then attributes, then the mode; each of them changes times, so times come last. What goes into a directory
 * changes the directory's times, so directories are finished when everything is in.
 *
 * @module
 */

import { ERRNO, failure, hex, isErrno, octal } from "../../ffi/errno.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  close,
  linkat,
  mknodat,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  symlinkat,
  tryMkdirat,
  tryOpenat,
} from "../../ffi/file.ts";
import { fchmod, fchown, futimens, lchmodat, lchownat, lutimesat } from "../../ffi/owner.ts";
import { getegid, geteuid } from "../../ffi/process.ts";
import { lstatat, S_IFBLK, S_IFCHR, S_IFIFO, Stat, tryStatx } from "../../ffi/stat.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { type IdMaps, toHost } from "../id_map.ts";
import { type ByteString, CName, textOfBytes } from "../util/byte_string.ts";
import { FdReader, SENDFILE_FROM } from "../util/fd_reader.ts";
import { removeTree } from "../util/remove_tree.ts";
import { currentUmask } from "../util/umask.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";
import { Directories, type OpenDirectory } from "./_directories.ts";
import { DEFAULT_ACL, LateDirectories } from "./_late_directories.ts";
import { setXattrs, setXattrsOf, type Xattr } from "./_set_xattrs.ts";
import type { PlainArchive } from "./compression.ts";
import { cleanPath, leafOf, parentOf } from "./entry_path.ts";
import { type TarEntry, TypeFlag } from "./header.ts";
import { TarReader } from "./reader.ts";
import { ContentThread, StreamDigest, WORTH_A_THREAD } from "./_content_thread.ts";
import { CHMOD, CHOWN, LAST, postWrite } from "./_content_jobs.ts";
import { type StartHelper, startHelper } from "./helper_thread.ts";
import { treeSize } from "./tree_size.ts";
import { isInsideAufsDirectory, ociNameOf, OPAQUE_VALUE, opaqueXattr, type OverlayXattrNamespace } from "./whiteout.ts";
import { isStorageXattr } from "./xattr_filter.ts";

/** How an archive is unpacked. */
export interface UnpackOptions {
  /** Which attribute makes a directory opaque; `trusted` unless the mounts are made with `userxattr`. */
  overlayXattrs?: OverlayXattrNamespace;
  /** Ids in the archive are the container's; files get the host's. */
  idMaps?: IdMaps | undefined;
  /** Whether the digest of the plain archive is computed, in another thread. */
  digest?: boolean;
  /** See the reader's option. */
  allowMissingEnd?: boolean | undefined;
  control?: WorkControl;
  startHelper?: StartHelper | undefined;
  /** Bytes of the archive from which on a second thread helps with the files; left out: where it begins to pay. */
  secondThreadFrom?: number | undefined;
}

/** What was unpacked. */
export interface UnpackResult {
  entries: number;
  /** Bytes of the archive. */
  bytes: number;
  /** Bytes of the files, hard links once, symbolic links by the length of their target. */
  sizeBytes: number;
  /** Names of attributes that were left out: see xattr_filter.ts. */
  droppedXattrs: string[];
  /** SHA-256 of the plain archive, `sha256:…`, where it was asked for. */
  diffId: string | undefined;
}

/** What the owner needs to go on filling a directory. */
const OWNER_RWX = 0o700;

/**
 * Unpacks `archive`, to its end, into the directory `rootFd`, which is not yet mounted anywhere.
 *
 * @throws {StorageError} `invalid_archive`, `unsafe_path`, `not_supported`, `aborted`, `no_space`, `permission_denied`.
 * What was unpacked until then stays: the caller throws it away.
 */
export function unpack(archive: PlainArchive, rootFd: number, options: UnpackOptions = {}): UnpackResult {
  using unpacker = new Unpacker(archive, rootFd, options);
  try {
    const result = unpacker.run();
    archive.finish();
    return result;
  } catch (error) {
    // An archive that cannot be decompressed ends early, which the tar reader can only take for a cut.
    throw archive.failure() ?? asStorageError(error, "Cannot unpack the archive");
  }
}

class Unpacker implements Disposable {
  readonly #input: FdReader;
  readonly #reader: TarReader;
  readonly #directories: Directories;
  readonly #idMaps: IdMaps | undefined;
  readonly #opaqueXattr: string;
  readonly #control: WorkControl;
  readonly #tick: () => void;
  readonly #startHelper: StartHelper;
  /** From this byte of the archive on a second thread writes the files. */
  readonly #secondThreadFrom: number;
  #content: ContentThread | undefined;
  readonly #digest: StreamDigest | undefined;
  readonly #umask = currentUmask();
  readonly #uid = geteuid();
  readonly #gid = getegid();
  readonly #leaf = new CName();
  readonly #target = new CName();
  readonly #stat = new Stat();
  readonly #late: LateDirectories;
  /** Names this archive deleted: a directory that comes back under one must not show what was deleted. */
  readonly #deleted = new Set<ByteString>();
  readonly #droppedXattrs = new Set<string>();
  #entries = 0;
  #sizeBytes = 0;
  /** Something was replaced, so the running sum is no longer the size. */
  #sizeIsKnown = true;

  constructor(archive: PlainArchive, readonly rootFd: number, options: UnpackOptions) {
    this.#startHelper = options.startHelper ?? startHelper;
    this.#tick = (): void => this.#control.tick(this.#entries, this.#reader.position);
    const input = new FdReader(archive.fd, archive.head, this.#tick);
    this.#input = input;
    this.#reader = new TarReader(input, this.#tick, options);
    this.#secondThreadFrom = options.secondThreadFrom ?? (input.sizeHint >= WORTH_A_THREAD ? 0 : WORTH_A_THREAD);
    if (options.digest) {
      this.#digest = new StreamDigest(input.ring, this.#startHelper, this.#tick);
      input.setTap(this.#digest);
    }
    this.#idMaps = options.idMaps;
    this.#opaqueXattr = opaqueXattr(options.overlayXattrs ?? "trusted");
    this.#control = options.control ?? UNWATCHED;
    const root = options.idMaps === undefined ? { uid: 0, gid: 0 } : {
      uid: toHost(0, options.idMaps.uidMaps),
      gid: toHost(0, options.idMaps.gidMaps),
    };
    this.#directories = new Directories(rootFd, root.uid === this.#uid && root.gid === this.#gid ? undefined : root);
    this.#late = new LateDirectories(this.#directories);
  }

  run(): UnpackResult {
    try {
      return this.#run();
    } catch (error) {
      // What failed in the other thread comes first: this one may only have noticed it.
      this.#content?.check();
      throw error;
    }
  }

  #run(): UnpackResult {
    for (let entry = this.#reader.next(); entry !== undefined; entry = this.#reader.next()) {
      this.#entries++;
      this.#tick();
      try {
        this.#unpackEntry(entry);
      } catch (error) {
        throw entryError(error, entry.unsafePath);
      }
      this.#directories.trim();
      if (this.#content === undefined && this.#reader.position >= this.#secondThreadFrom) this.#startSecondThread();
    }
    this.#input.drain(this.#tick);
    this.#content?.waitFor(this.#content.posted);
    this.#input.flushTap();
    this.#late.finish();
    return {
      entries: this.#entries,
      bytes: this.#reader.position,
      sizeBytes: this.#sizeIsKnown ? this.#sizeBytes : treeSize(this.rootFd),
      droppedXattrs: [...this.#droppedXattrs].sort(),
      diffId: this.#digest?.finish(),
    };
  }

  [Symbol.dispose](): void {
    this.#content?.[Symbol.dispose]();
    this.#digest?.[Symbol.dispose]();
    this.#directories[Symbol.dispose]();
  }

  #startSecondThread(): void {
    this.#content = new ContentThread(this.#input.ring, this.#startHelper, "Cannot unpack", this.#tick);
    this.#input.ring.addUser(this.#content);
  }

  #unpackEntry(entry: TarEntry): void {
    if (entry.unreadXattrs !== undefined) { for (const key of entry.unreadXattrs) this.#droppedXattrs.add(key); }
    const path = cleanPath(entry.unsafePath);
    if (path === "") return this.#unpackRoot(entry);
    const leaf = leafOf(path);
    const parent = parentOf(path);
    const name = ociNameOf(leaf, path);
    if (name.kind === "aufs" || isInsideAufsDirectory(parent)) return;
    if (this.#idMaps !== undefined) this.#mapOwner(entry, this.#idMaps);
    switch (name.kind) {
      case "whiteout":
        return this.#deleteName(
          this.#directories.require(parent),
          parent === "" ? name.name : `${parent}/${name.name}`,
        );
      case "opaque":
        return this.#makeOpaque(parent);
      case "entry":
        return this.#create(entry, path, this.#directories.require(parent));
    }
  }

  #mapOwner(entry: TarEntry, maps: IdMaps): void {
    entry.uid = toHost(entry.uid, maps.uidMaps);
    entry.gid = toHost(entry.gid, maps.gidMaps);
  }

  #create(entry: TarEntry, path: ByteString, parent: OpenDirectory): void {
    switch (entry.typeFlag) {
      case TypeFlag.FILE:
        return this.#createFile(entry, path, parent);
      case TypeFlag.DIRECTORY:
        return this.#createDirectory(entry, path, parent);
      case TypeFlag.SYMLINK:
        return this.#createSymlink(entry, path, parent);
      case TypeFlag.LINK:
        return this.#createLink(entry, path, parent);
      case TypeFlag.CHARACTER_DEVICE:
        return this.#createNode(entry, path, parent, S_IFCHR);
      case TypeFlag.BLOCK_DEVICE:
        return this.#createNode(entry, path, parent, S_IFBLK);
      case TypeFlag.FIFO:
        return this.#createNode(entry, path, parent, S_IFIFO);
    }
  }

  #createFile(entry: TarEntry, path: ByteString, parent: OpenDirectory): void {
    const leaf = this.#leaf.fill(leafOf(path));
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    const permissions = entry.mode & 0o777;
    let fd = tryOpenat(parent.fd, leaf, flags, permissions);
    if (fd === -ERRNO.EEXIST) {
      this.#removeExisting(parent, leaf);
      fd = tryOpenat(parent.fd, leaf, flags, permissions);
    }
    if (fd < 0) throw failure(-fd, "openat", parent.fd, leaf, hex(flags), octal(permissions));
    this.#sizeBytes += entry.size;
    if (this.#content?.isAlive && this.#canHandOver(entry)) return this.#handOver(fd, entry, path, parent);
    try {
      if (entry.size > 0) this.#reader.copyData(fd, this.#tick);
      const changedOwner = this.#needsOwner(entry, parent);
      if (changedOwner) fchown(fd, entry.uid, entry.gid);
      if (entry.xattrs !== undefined) setXattrs(fd, path, this.#ownXattrs(entry));
      if (entry.mode !== permissions || (permissions & this.#umask) !== 0) fchmod(fd, entry.mode);
      futimens(fd, entry.mtimeSeconds, entry.mtimeNanoseconds);
    } finally {
      close(fd);
    }
  }

  /** Whether a second thread can fill the file: attributes and holes are more than a job can say. */
  #canHandOver(entry: TarEntry): boolean {
    return entry.xattrs === undefined && !this.#reader.isSparse &&
      (entry.size < SENDFILE_FROM || !this.#input.bypassesBuffer);
  }

  /** Gives the new file to the second thread, which writes, finishes and closes it. */
  #handOver(fd: number, entry: TarEntry, path: ByteString, parent: OpenDirectory): void {
    const content = this.#content!;
    const permissions = entry.mode & 0o777;
    const changesMode = entry.mode !== permissions || (permissions & this.#umask) !== 0;
    const flags = LAST | (this.#needsOwner(entry, parent) ? CHOWN : 0) | (changesMode ? CHMOD : 0);
    let isOpen = true;
    try {
      this.#reader.handOver((offset, length, isLast) => {
        content.check();
        postWrite(content.queue, fd, offset, length, isLast ? flags : 0, entry);
        content.note(path);
        isOpen = !isLast;
      });
    } finally {
      // Not closed here: jobs on it may wait in the queue, and the number would soon be another file's.
      if (isOpen) postWrite(content.queue, fd, 0, 0, LAST, entry);
    }
  }

  #createDirectory(entry: TarEntry, path: ByteString, parent: OpenDirectory): void {
    const leaf = this.#leaf.fill(leafOf(path));
    const firstMode = (entry.mode & 0o777) | OWNER_RWX;
    let result = tryMkdirat(parent.fd, leaf, firstMode);
    if (result === -ERRNO.EEXIST && !lstatat(parent.fd, leaf, this.#stat).isDirectory) {
      this.#removeExisting(parent, leaf);
      result = tryMkdirat(parent.fd, leaf, firstMode);
      if (result === 0 && this.#deleted.has(path)) setXattrsOf(parent, path, [[this.#opaqueXattr, OPAQUE_VALUE]]);
    }
    const isNew = result === 0;
    if (!isNew && result !== -ERRNO.EEXIST) throw failure(-result, "mkdirat", parent.fd, leaf, octal(firstMode));
    if (!isNew || this.#needsOwner(entry, parent)) lchownat(parent.fd, leaf, entry.uid, entry.gid);
    if (entry.xattrs !== undefined) setXattrsOf(parent, path, withoutDefaultAcl(this.#ownXattrs(entry)));
    const isExact = isNew && entry.mode === firstMode && (firstMode & this.#umask) === 0 && !parent.isSetgid;
    this.#late.add(path, entry, isExact ? undefined : entry.mode);
  }

  #createSymlink(entry: TarEntry, path: ByteString, parent: OpenDirectory): void {
    const leaf = this.#leaf.fill(leafOf(path));
    const target = this.#target.fill(entry.unsafeLinkPath);
    this.#createName(parent, leaf, () => symlinkat(target, parent.fd, leaf));
    if (this.#needsOwner(entry, parent)) lchownat(parent.fd, leaf, entry.uid, entry.gid);
    if (entry.xattrs !== undefined) setXattrsOf(parent, path, this.#ownXattrs(entry));
    lutimesat(parent.fd, leaf, entry.mtimeSeconds, entry.mtimeNanoseconds);
    this.#sizeBytes += entry.unsafeLinkPath.length;
  }

  #createLink(entry: TarEntry, path: ByteString, parent: OpenDirectory): void {
    const target = cleanPath(entry.unsafeLinkPath);
    const directory = this.#directories.find(parentOf(target));
    const targetLeaf = this.#target.fill(leafOf(target));
    if (
      directory === undefined || target === "" ||
      tryStatx(directory.fd, targetLeaf, AT_SYMLINK_NOFOLLOW, this.#stat) < 0
    ) {
      throw new StorageError(
        "invalid_archive",
        `Cannot unpack "${textOfBytes(path)}": it is a hard link to "${
          textOfBytes(target)
        }", which is not in this archive`,
      );
    }
    // A link to itself is what some tools write for a file that they meet twice.
    if (target === path) return;
    const leaf = this.#leaf.fill(leafOf(path));
    this.#createName(parent, leaf, () => linkat(directory.fd, targetLeaf, parent.fd, leaf));
  }

  #createNode(entry: TarEntry, path: ByteString, parent: OpenDirectory, type: number): void {
    if (type === S_IFCHR && entry.deviceMajor === 0 && entry.deviceMinor === 0) {
      throw new StorageError(
        "invalid_archive",
        `Cannot unpack "${textOfBytes(path)}": a character device 0:0 would hide a file of the layers below`,
        { hint: "in a tar a deleted file is an entry named .wh.NAME" },
      );
    }
    const leaf = this.#leaf.fill(leafOf(path));
    const permissions = entry.mode & 0o777;
    this.#createName(
      parent,
      leaf,
      () => mknodat(parent.fd, leaf, type | permissions, entry.deviceMajor, entry.deviceMinor),
    );
    if (this.#needsOwner(entry, parent)) lchownat(parent.fd, leaf, entry.uid, entry.gid);
    if (entry.xattrs !== undefined) setXattrsOf(parent, path, this.#ownXattrs(entry));
    if (entry.mode !== permissions || (permissions & this.#umask) !== 0) lchmodat(parent.fd, leaf, entry.mode);
    lutimesat(parent.fd, leaf, entry.mtimeSeconds, entry.mtimeNanoseconds);
  }

  /** The `./` entry: what is said of the layer's root. */
  #unpackRoot(entry: TarEntry): void {
    if (entry.typeFlag !== TypeFlag.DIRECTORY) {
      throw new StorageError(
        "invalid_archive",
        "Cannot unpack the archive: it would turn the layer's root into something else than a directory",
      );
    }
    if (this.#idMaps !== undefined) this.#mapOwner(entry, this.#idMaps);
    fchown(this.rootFd, entry.uid, entry.gid);
    if (entry.xattrs !== undefined) setXattrs(this.rootFd, "/", withoutDefaultAcl(this.#ownXattrs(entry)));
    this.#late.add("", entry, entry.mode);
  }

  /**
   * Marks `path` as deleted from the layers below. A whiteout is about them alone: what this archive has put under the
   * same name stays, whichever of the two came first.
   */
  #deleteName(parent: OpenDirectory, path: ByteString): void {
    this.#deleted.add(path);
    const leaf = this.#leaf.fill(leafOf(path));
    try {
      mknodat(parent.fd, leaf, S_IFCHR, 0, 0);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      if (lstatat(parent.fd, leaf, this.#stat).isDirectory) {
        setXattrsOf(parent, path, [[this.#opaqueXattr, OPAQUE_VALUE]]);
      }
    }
  }

  #makeOpaque(path: ByteString): void {
    setXattrsOf(this.#directories.require(path), ".", [[this.#opaqueXattr, OPAQUE_VALUE]]);
  }

  /** Runs `create`, and once more if a name had to go out of its way. */
  #createName(parent: OpenDirectory, leaf: Uint8Array<ArrayBuffer>, create: () => void): void {
    try {
      create();
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      this.#removeExisting(parent, leaf);
      create();
    }
  }

  #removeExisting(parent: OpenDirectory, leaf: Uint8Array<ArrayBuffer>): void {
    this.#sizeIsKnown = false;
    const { isDirectory, isSymlink } = lstatat(parent.fd, leaf, this.#stat);
    if (isDirectory || isSymlink) this.#directories.forgetAll();
    removeTree(parent.fd, leaf);
  }

  #needsOwner(entry: TarEntry, parent: OpenDirectory): boolean {
    return entry.uid !== this.#uid || entry.gid !== this.#gid || parent.isSetgid;
  }

  #ownXattrs(entry: TarEntry): Xattr[] {
    const own: Xattr[] = [];
    for (const [name, value] of entry.xattrs!) {
      if (isStorageXattr(name)) this.#droppedXattrs.add(textOfBytes(name));
      else own.push([name, value]);
    }
    return own;
  }
}

/** What the kernel says of a name that only the archive can be blamed for. */
const ARCHIVES_FAULT = ["ENAMETOOLONG", "ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "EMLINK"] as const;

function entryError(error: unknown, unsafePath: ByteString): StorageError {
  if (error instanceof StorageError) return error;
  const action = `Cannot unpack "${textOfBytes(unsafePath)}"`;
  if (isErrno(error, ...ARCHIVES_FAULT)) {
    return new StorageError("invalid_archive", `${action}: ${error.message}`, { cause: error });
  }
  return asStorageError(error, action);
}

function withoutDefaultAcl(xattrs: readonly Xattr[]): Xattr[] {
  return xattrs.filter(([name]) => name !== DEFAULT_ACL);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Tar -> directory. Whiteouts become what overlayfs takes for deleted names, or delete (see _whiteout_target.ts);
 * everything else becomes itself, with owner, mode, times and attributes.
 *
 * The order of the calls on one file is not free: a change of owner clears setuid bits and capabilities, so owner comes
 * first, then attributes, then the mode; each of them changes times, so times come last. What goes into a directory
 * changes the directory's times, so directories are finished when everything is in.
 *
 * @module
 */

import { ERRNO, failure, hex, isErrno, octal } from "../../ffi/errno.ts";
import {
  type Fd,
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
import { lchmodat, lutimesat } from "../../ffi/owner.ts";
import { lstatat, S_IFBLK, S_IFCHR, S_IFIFO, Stat } from "../../ffi/stat.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { type IdMaps, rootPair } from "../id_map.ts";
import { type ByteString, CName } from "../util/byte_string.ts";
import { FdReader } from "../util/fd_reader.ts";
import { removeTree } from "../util/remove_tree.ts";
import { currentUmask } from "../util/umask.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";
import { secondThreadStart } from "./_content_thread.ts";
import { Directories, type OpenDirectory } from "./_directories.ts";
import { belowWhiteout, deviceRefused, directoryInTheWay, entryError, whiteoutDevice } from "./_entry_error.ts";
import { EntryOwners, mapOwnerToHost } from "./_entry_owner.ts";
import { EntryXattrs } from "./_entry_xattrs.ts";
import { LateDirectories, withoutDefaultAcl } from "./_late_directories.ts";
import { MarkerWhiteouts } from "./_marker_whiteouts.ts";
import { MergedWhiteouts } from "./_merged_whiteouts.ts";
import { LayerMarks } from "./_layer_marks.ts";
import { LinkTargets } from "./_link_targets.ts";
import { Lowers } from "./_lowers.ts";
import { NewFiles } from "./_new_files.ts";
import { setXattrsOf } from "./_set_xattrs.ts";
import { StreamDigest } from "./_stream_digest.ts";
import { UpperWhiteouts } from "./_upper_whiteouts.ts";
import type { WhiteoutTarget } from "./_whiteout_target.ts";
import type { PlainArchive } from "./compression.ts";
import { cleanPath, leafOf, parentOf } from "./entry_path.ts";
import { type TarEntry, TypeFlag } from "./header.ts";
import { startHelper } from "./helper_thread.ts";
import { LimitGuard } from "./limits.ts";
import { MaskedEntries, OVERRIDE_STAT } from "./override_stat.ts";
import { TarReader } from "./reader.ts";
import { treeSize } from "./tree_size.ts";
import type { UnpackOptions, UnpackResult } from "./unpack_options.ts";
import { isBelowWhiteout, isInsideAufsDirectory, ociNameOf, opaqueXattr } from "./whiteout.ts";

export type { UnpackOptions, UnpackResult } from "./unpack_options.ts";

/** What the owner needs to go on filling a directory. */
const OWNER_RWX = 0o700;

/**
 * Unpacks `archive`, to its end, into the directory `rootFd`.
 *
 * @throws {StorageError} `invalid_archive`, `unsafe_path`, `limit_exceeded`, `not_supported`, `aborted`, `no_space`,
 * `permission_denied` (also for a device, which a user namespace may not make), `layer_in_use` for a mount in the way.
 * What was unpacked until then stays: the caller throws it away.
 */
export function unpack(archive: PlainArchive, rootFd: number, options: UnpackOptions = {}): UnpackResult {
  using unpacker = new Unpacker(archive, rootFd, options);
  try {
    return unpacker.run();
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
  readonly #control: WorkControl;
  readonly #tick: () => void;
  readonly #umask = currentUmask();
  readonly #leaf = new CName();
  readonly #target = new CName();
  readonly #stat = new Stat();
  readonly #digest: StreamDigest | undefined;
  readonly #files: NewFiles;
  readonly #late: LateDirectories;
  readonly #limits: LimitGuard;
  readonly #owners: EntryOwners;
  readonly #masked: MaskedEntries | undefined;
  readonly #xattrs: EntryXattrs;
  readonly #whiteouts: WhiteoutTarget;
  readonly #linkTargets: LinkTargets;
  readonly #refusesDevices: boolean;
  readonly #isMerged: boolean;
  readonly #keepsDirectories: boolean;
  #entries = 0;
  /** Directories that no entry told of. */
  #implied = 0;
  #sizeBytes = 0;
  /** Something was replaced, so the running sum is no longer the size. */
  #sizeIsKnown = true;

  constructor(readonly archive: PlainArchive, readonly rootFd: number, options: UnpackOptions) {
    this.#idMaps = options.idMaps;
    this.#limits = new LimitGuard(options.limits);
    const root = rootPair(options.idMaps);
    // A link has no attribute for its owner: below a mask it gets it where that can be.
    this.#owners = new EntryOwners(options.ignoreChownErrors === true || options.forceMask !== undefined);
    this.#masked = options.forceMask === undefined ? undefined : new MaskedEntries(options.forceMask, root);
    this.#xattrs = new EntryXattrs(options.xattrs, this.#masked);
    this.#refusesDevices = options.devices === "refuse";
    this.#isMerged = options.target === "merged";
    this.#keepsDirectories = options.keepsDirectories ?? false;
    const namespace = options.overlayXattrs ?? "trusted";
    this.#whiteouts = this.#isMerged
      ? new MergedWhiteouts(() => this.#directories.forgetAll())
      : options.target === "marked"
      ? new MarkerWhiteouts()
      : new UpperWhiteouts(opaqueXattr(namespace));
    this.#control = options.control ?? UNWATCHED;
    this.#tick = (): void => {
      this.#checkProgress();
      this.#control.tick(this.#entries, this.#reader.position);
    };
    this.#input = new FdReader(archive.fd, archive.head, this.#tick);
    this.#reader = new TarReader(this.#input, this.#tick, options);
    const start = options.startHelper ?? startHelper;
    this.#digest = options.digest ? new StreamDigest(this.#input.ring, start, this.#tick) : undefined;
    if (this.#digest !== undefined) this.#input.setTap(this.#digest);
    const others = (archive.isFiltered ? 1 : 0) + (this.#digest === undefined ? 0 : 1);
    const secondThreadFrom = options.secondThreadFrom ?? secondThreadStart(others);
    this.#files = new NewFiles(
      this.#input,
      this.#reader,
      this.#owners,
      this.#xattrs,
      start,
      this.#tick,
      secondThreadFrom,
    );
    this.#directories = new Directories(
      rootFd,
      root,
      this.#owners,
      (parent, leaf) => this.#whiteouts.clearWay(parent, leaf),
      (parent, leaf) => this.#madeImplied(parent, leaf),
    );
    const marks = new LayerMarks(namespace, options.target === "marked");
    this.#linkTargets = new LinkTargets(
      this.#directories,
      this.#isMerged ? undefined : new Lowers(options.lowerDirs ?? [], marks),
      marks,
      this.#masked !== undefined,
      (entry, path, content) => this.#copyUp(entry, path, content),
    );
    this.#late = new LateDirectories(this.#directories, this.#xattrs);
  }

  run(): UnpackResult {
    try {
      return this.#run();
    } catch (error) {
      // What failed in the other thread comes first: this one may only have noticed it.
      this.#files.check();
      throw error;
    }
  }

  #run(): UnpackResult {
    for (let entry = this.#reader.next(); entry !== undefined; entry = this.#reader.next()) {
      this.#entries++;
      this.#tick();
      try {
        this.#limits.checkEntry(entry);
        this.#unpackEntry(entry);
      } catch (error) {
        throw entryError(error, entry.unsafePath);
      }
      this.#directories.trim();
    }
    this.#input.drain(this.#tick);
    this.#files.settle();
    this.#input.flushTap();
    this.#late.finish();
    this.archive.finish(this.#tick);
    return {
      entries: this.#entries,
      bytes: this.#reader.position,
      sizeBytes: this.#sizeIsKnown || this.#isMerged ? this.#sizeBytes : treeSize(this.rootFd),
      droppedXattrs: this.#xattrs.dropped,
      unsetOwners: this.#owners.unset,
      diffId: this.#digest?.finish(),
    };
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
    this.#digest?.[Symbol.dispose]();
    this.#directories[Symbol.dispose]();
  }

  #unpackEntry(entry: TarEntry): void {
    this.#xattrs.noteUnread(entry);
    const path = cleanPath(entry.unsafePath);
    if (path === "") return this.#unpackRoot(entry);
    const leaf = leafOf(path);
    const parent = parentOf(path);
    const name = ociNameOf(leaf, path);
    if (name.kind === "aufs" || isInsideAufsDirectory(parent)) return;
    if (isBelowWhiteout(parent)) throw belowWhiteout(path);
    if (this.#idMaps !== undefined) mapOwnerToHost(entry, this.#idMaps);
    switch (name.kind) {
      case "whiteout":
        return this.#whiteouts.deleteName(this.#directories.require(parent), name.name);
      case "opaque":
        return this.#whiteouts.makeOpaque(this.#directories.require(parent));
      case "entry":
        return this.#create(entry, path, this.#directories.require(parent));
    }
  }

  #create(entry: TarEntry, path: ByteString, parent: OpenDirectory): void {
    this.#whiteouts.made(parent, leafOf(path));
    if (entry.typeFlag === TypeFlag.CHARACTER_DEVICE || entry.typeFlag === TypeFlag.BLOCK_DEVICE) {
      this.#checkDevice(entry, path);
    }
    this.#masked?.mask(entry);
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

  /** @param content Where the data are, if not in the archive. */
  #createFile(entry: TarEntry, path: ByteString, parent: OpenDirectory, content?: Fd): void {
    const leaf = this.#leaf.fill(leafOf(path));
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    const permissions = entry.mode & 0o777;
    let fd = tryOpenat(parent.fd, leaf, flags, permissions);
    if (fd === -ERRNO.EEXIST) {
      this.#removeExisting(parent, leaf);
      fd = tryOpenat(parent.fd, leaf, flags, permissions);
    }
    if (fd < 0) throw failure(-fd, "openat", parent.fd, leaf, hex(flags), octal(permissions));
    const changesMode = entry.mode !== permissions || (permissions & this.#umask) !== 0 || this.#masked !== undefined;
    const finish = { owner: this.#owners.needs(entry, parent), mode: changesMode };
    if (content === undefined) this.#files.fill(fd, entry, path, finish);
    else this.#files.copy(fd, entry, path, finish, content.fd);
    this.#sizeBytes += entry.size;
  }

  #createDirectory(entry: TarEntry, path: ByteString, parent: OpenDirectory): void {
    const leaf = this.#leaf.fill(leafOf(path));
    const firstMode = (entry.mode & 0o777) | OWNER_RWX;
    let result = tryMkdirat(parent.fd, leaf, firstMode);
    if (result === -ERRNO.EEXIST && !lstatat(parent.fd, leaf, this.#stat).isDirectory) {
      this.#removeExisting(parent, leaf);
      result = tryMkdirat(parent.fd, leaf, firstMode);
    }
    const isNew = result === 0;
    if (!isNew && result !== -ERRNO.EEXIST) throw failure(-result, "mkdirat", parent.fd, leaf, octal(firstMode));
    if (isNew) this.#whiteouts.madeDirectory(parent, leafOf(path));
    if (!isNew || this.#owners.needs(entry, parent)) this.#owners.give(parent.fd, leaf, entry);
    if (entry.xattrs !== undefined) this.#xattrs.setOf(parent, path, withoutDefaultAcl(this.#xattrs.of(entry)));
    const isExact = isNew && entry.mode === firstMode && (firstMode & this.#umask) === 0 && !parent.isSetgid &&
      this.#masked === undefined;
    this.#late.add(path, entry, isExact ? undefined : entry.mode);
  }

  #createSymlink(entry: TarEntry, path: ByteString, parent: OpenDirectory): void {
    const leaf = this.#leaf.fill(leafOf(path));
    const target = this.#target.fill(entry.unsafeLinkPath);
    this.#createName(parent, leaf, () => symlinkat(target, parent.fd, leaf));
    if (this.#owners.needs(entry, parent)) this.#owners.give(parent.fd, leaf, entry);
    if (entry.xattrs !== undefined) this.#xattrs.setOf(parent, path, this.#xattrs.of(entry));
    lutimesat(parent.fd, leaf, entry.mtimeSeconds, entry.mtimeNanoseconds);
    this.#sizeBytes += entry.unsafeLinkPath.length;
  }

  #createLink(entry: TarEntry, path: ByteString, parent: OpenDirectory): void {
    const target = this.#linkTargets.find(path, entry.unsafeLinkPath);
    // A link to itself is what some tools write for a file that they meet twice.
    if (target.path === path) return;
    const targetLeaf = this.#target.fill(leafOf(target.path));
    const leaf = this.#leaf.fill(leafOf(path));
    this.#createName(parent, leaf, () => linkat(target.directory.fd, targetLeaf, parent.fd, leaf));
  }

  /** Makes what an archive would have said of a file below. */
  #copyUp(entry: TarEntry, path: ByteString, content: Fd | undefined): void {
    this.#limits.checkEntry(entry);
    const parent = this.#directories.require(parentOf(path));
    if (content === undefined) return this.#create(entry, path, parent);
    this.#masked?.mask(entry);
    this.#createFile(entry, path, parent, content);
  }

  #checkDevice({ typeFlag, deviceMajor, deviceMinor }: TarEntry, path: ByteString): void {
    if (typeFlag === TypeFlag.CHARACTER_DEVICE && deviceMajor === 0 && deviceMinor === 0) throw whiteoutDevice(path);
    if (this.#refusesDevices) throw deviceRefused(path);
  }

  #createNode(entry: TarEntry, path: ByteString, parent: OpenDirectory, type: number): void {
    const leaf = this.#leaf.fill(leafOf(path));
    const permissions = entry.mode & 0o777;
    this.#createName(
      parent,
      leaf,
      () => mknodat(parent.fd, leaf, type | permissions, entry.deviceMajor, entry.deviceMinor),
    );
    if (this.#owners.needs(entry, parent)) this.#owners.give(parent.fd, leaf, entry);
    if (entry.xattrs !== undefined) this.#xattrs.setOf(parent, path, this.#xattrs.of(entry));
    if (entry.mode !== permissions || (permissions & this.#umask) !== 0) lchmodat(parent.fd, leaf, entry.mode);
    lutimesat(parent.fd, leaf, entry.mtimeSeconds, entry.mtimeNanoseconds);
  }

  #checkProgress(): void {
    this.#limits.checkProgress(this.#entries + this.#implied, this.#reader.position);
  }

  /** One entry may have a thousand of them made. */
  #madeImplied(parent: OpenDirectory, leaf: ByteString): void {
    this.#implied++;
    this.#checkProgress();
    this.#whiteouts.madeDirectory(parent, leaf);
    if (this.#masked !== undefined) setXattrsOf(parent, leaf, [[OVERRIDE_STAT, this.#masked.impliedValue]]);
  }

  /** The `./` entry: what is said of the layer's root. */
  #unpackRoot(entry: TarEntry): void {
    if (entry.typeFlag !== TypeFlag.DIRECTORY) {
      throw new StorageError(
        "invalid_archive",
        "Cannot unpack the archive: it would turn the layer's root into something else than a directory",
      );
    }
    if (this.#idMaps !== undefined) mapOwnerToHost(entry, this.#idMaps);
    this.#masked?.mask(entry);
    this.#owners.give(this.rootFd, ".", entry);
    if (entry.xattrs !== undefined) this.#xattrs.set(this.rootFd, "/", withoutDefaultAcl(this.#xattrs.of(entry)));
    this.#late.add("", entry, entry.mode);
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
    if (isDirectory && this.#keepsDirectories) throw directoryInTheWay(parent.path, leaf);
    if (isDirectory || isSymlink) this.#directories.forgetAll();
    removeTree(parent.fd, leaf);
  }
}

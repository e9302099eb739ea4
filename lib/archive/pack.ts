// SPDX-License-Identifier: Apache-2.0

/**
 * Directory -> tar: what an overlay layer's upper directory holds, as an archive. Deleted names become `.wh.` entries.
 *
 * A directory comes before what is in it, and names within one in the order of their bytes, so the same tree gives the
 * same archive. It fails closed: a file that cannot be read, named or encoded is an error, and is left out only if the
 * caller asked for that, and then listed.
 *
 * @module
 */

import { DT_DIR, DT_REG } from "../../ffi/directory.ts";
import { isErrno } from "../../ffi/errno.ts";
import { Fd, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, openat, readlinkat } from "../../ffi/file.ts";
import { fstat, lstatat, S_IFBLK, S_IFCHR, S_IFIFO, S_IFLNK, S_IFMT, S_IFSOCK, Stat } from "../../ffi/stat.ts";
import { asStorageError, isStorageError, StorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import { type ByteString, byteString, CName, textOfBytes } from "../util/byte_string.ts";
import { FdWriter } from "../util/fd_writer.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";
import { secondThreadStart } from "./_content_thread.ts";
import { mapOwnerToContainer, mapXattrsToContainer } from "./_entry_owner.ts";
import { LayerMarks } from "./_layer_marks.ts";
import { Lowers } from "./_lowers.ts";
import { nameOf, type PackSelection, selectPart, type TypedName, typeOf, WHOLE_TREE } from "./_pack_selection.ts";
import { SourceFiles } from "./_source_files.ts";
import { type ExportedXattrs, SourceXattrs } from "./_source_xattrs.ts";
import { StreamDigest } from "./_stream_digest.ts";
import { ACL_XATTRS, aclWithMode } from "./acl_entries.ts";
import { leafOf } from "./entry_path.ts";
import { TarEntry, TypeFlag } from "./header.ts";
import { startHelper } from "./helper_thread.ts";
import { MOST_LEVELS } from "./limits.ts";
import { overrideOpen } from "./override_stat.ts";
import type { PackOptions, PackResult, SkippedFile } from "./pack_options.ts";
import { OCI_OPAQUE, OCI_WHITEOUT_PREFIX } from "./whiteout.ts";
import { TarWriter } from "./writer.ts";

export type { PackOptions, PackResult, SkippedFile } from "./pack_options.ts";

const WHITEOUT_MODE = 0o600;
const NEW_ROOT_MODE = 0o755;

/**
 * Writes everything in the directory `rootFd` to `archiveFd` as a tar.
 *
 * @throws {StorageError} `not_supported` for what an archive cannot say (a name that begins with `.wh.`, an attribute
 * whose name contains `=`, a directory that overlayfs moved or a file of which it copied only the metadata);
 * `limit_exceeded` for directories nested too deep; `system_error` for what cannot be read; `aborted`.
 */
export function pack(rootFd: number, archiveFd: number, options: PackOptions = {}): PackResult {
  const { part } = options;
  return packSelected(rootFd, archiveFd, options, () => part === undefined ? WHOLE_TREE : selectPart(part));
}

/**
 * As {@linkcode pack}, but for what `select` leaves out.
 *
 * @throws {StorageError} As {@linkcode pack}, and what `select` throws.
 */
export function packSelected(
  rootFd: number,
  archiveFd: number,
  options: PackOptions,
  select: () => PackSelection,
): PackResult {
  try {
    using packer = new Packer(rootFd, archiveFd, options, select());
    return packer.run();
  } catch (error) {
    throw asStorageError(error, "Cannot write the archive");
  }
}

class Packer implements Disposable {
  readonly #output: FdWriter;
  readonly #writer: TarWriter;
  readonly #files: SourceFiles;
  readonly #xattrs: SourceXattrs;
  readonly #lowers: Lowers | undefined;
  readonly #idMaps: IdMaps | undefined;
  readonly #markers: boolean;
  readonly #skipsErrors: boolean;
  readonly #wholeSeconds: boolean;
  readonly #isMasked: boolean;
  readonly #newRootMode: number;
  readonly #control: WorkControl;
  readonly #tick: () => void;
  readonly #digest: StreamDigest | undefined;
  readonly #entry = new TarEntry();
  readonly #stat = new Stat();
  readonly #leaf = new CName();
  /** Path of the first name of each file that has several. */
  readonly #linked = new Map<string, ByteString>();
  readonly #skippedSockets: string[] = [];
  readonly #skipped: SkippedFile[] = [];

  constructor(readonly rootFd: number, archiveFd: number, options: PackOptions, readonly selection: PackSelection) {
    const namespace = options.overlayXattrs ?? "trusted";
    const start = options.startHelper ?? startHelper;
    this.#tick = (): void => this.#control.tick(this.#writer.entries, this.#writer.position);
    this.#control = options.control ?? UNWATCHED;
    this.#output = new FdWriter(archiveFd, this.#tick);
    this.#writer = new TarWriter(this.#output);
    const secondThreadFrom = options.secondThreadFrom ?? secondThreadStart(options.digest ? 1 : 0);
    this.#files = new SourceFiles(this.#output, start, this.#tick, secondThreadFrom);
    this.#xattrs = new SourceXattrs(namespace, options.xattrs);
    this.#markers = options.markers ?? false;
    // Without layers below there is nothing to ask, and what the layer says of them is kept as it is.
    const lowerDirs = options.lowerDirs ?? [];
    this.#lowers = lowerDirs.length === 0 ? undefined : new Lowers(lowerDirs, new LayerMarks(namespace, this.#markers));
    this.#idMaps = options.idMaps;
    this.#skipsErrors = options.skipErrors ?? false;
    this.#wholeSeconds = options.times === "seconds";
    this.#isMasked = options.overrideStat ?? false;
    this.#newRootMode = options.newRootMode ?? NEW_ROOT_MODE;
    this.#digest = options.digest ? new StreamDigest(this.#output.ring, start, this.#tick) : undefined;
    if (this.#digest !== undefined) this.#output.setTap(this.#digest);
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
    this.#digest?.[Symbol.dispose]();
    this.#output[Symbol.dispose]();
  }

  run(): PackResult {
    if (!this.selection.isEmpty) this.#packTree();
    this.#writer.end();
    return {
      entries: this.#writer.entries,
      bytes: this.#writer.position,
      skippedSockets: this.#skippedSockets,
      skipped: this.#skipped,
      diffId: this.#digest?.finish(),
    };
  }

  #packTree(): void {
    using root = new Fd(openat(this.rootFd, ".", O_RDONLY | O_DIRECTORY));
    const names = this.selection.namesIn(root.fd, "");
    if (!this.selection.omitsRoot) this.#packRoot(root.fd, names);
    this.#packNames(root.fd, "", names, 0);
  }

  /** A layer in which nothing was done is the well-known empty archive of 1024 zero bytes. */
  #packRoot(fd: number, names: readonly TypedName[]): void {
    const stat = this.#look(fd, ".");
    const isPlain = (stat.mode & 0o7777) === this.#newRootMode && stat.uid === 0 && stat.gid === 0;
    const { xattrs, isOpaque } = this.#xattrs.ofDirectory(fd, ".");
    const isUsual = isPlain && !isOpaque && xattrs === undefined && this.#idMaps === undefined;
    if (names.length === 0 && isUsual && !this.selection.needsRoot) return;
    this.#fill(TypeFlag.DIRECTORY, "./");
    this.#entry.xattrs = this.#real(xattrs);
    this.#writer.writeHeader(this.#entry);
    if ((isOpaque || this.#isMarkedOpaque(names)) && this.selection.isUpper) this.#packWhiteout(OCI_OPAQUE);
  }

  #packDirectory(parentFd: number, path: ByteString, leaf: Uint8Array<ArrayBuffer>, level: number): void {
    if (level === MOST_LEVELS) {
      throw new StorageError(
        "limit_exceeded",
        `Cannot archive "${textOfBytes(path.slice(0, 100))}…": its directories are more than ${MOST_LEVELS} deep`,
      );
    }
    using directory = new Fd(openat(parentFd, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    this.#look(directory.fd, path);
    this.#fill(TypeFlag.DIRECTORY, `${path}/`);
    const { xattrs, isOpaque } = this.#xattrs.ofDirectory(directory.fd, path);
    this.#entry.xattrs = this.#real(xattrs);
    const names = this.selection.namesIn(directory.fd, `${path}/`);
    this.#writer.writeHeader(this.#entry);
    if ((isOpaque || this.#isMarkedOpaque(names)) && this.#hidesSomething(path)) {
      this.#packWhiteout(`${path}/${OCI_OPAQUE}`);
    }
    this.#packNames(directory.fd, `${path}/`, names, level + 1);
  }

  #isMarkedOpaque(names: readonly TypedName[]): boolean {
    return this.#markers && names.some((typed) => nameOf(typed) === OCI_OPAQUE);
  }

  /** Kernels before 5.14, and later ones with some options, mark every new directory, also where nothing is below. */
  #hidesSomething(path: ByteString): boolean {
    if (this.#lowers === undefined) return this.selection.isUpper;
    using lower = this.#lowers.find(path);
    return lower !== undefined;
  }

  #packNames(fd: number, prefix: ByteString, names: readonly TypedName[], level: number): void {
    for (const typed of names) {
      const name = nameOf(typed);
      const path = prefix + (level === 0 ? this.selection.as ?? name : name);
      const { entries } = this.#writer;
      try {
        this.#packName(fd, path, name, typeOf(typed), level);
      } catch (error) {
        const failure = asStorageError(error, `Cannot archive "${textOfBytes(path)}"`);
        // With its header out, a name can no longer be left out.
        if (!this.#skipsErrors || !isFilesFault(error) || this.#writer.entries > entries) throw failure;
        this.#skip(path, failure);
      }
      this.#tick();
    }
  }

  #skip(path: ByteString, { message }: StorageError): void {
    this.#skipped.push({ path: textOfBytes(path), reason: message });
    // Its other names have to bring the content themselves.
    if (this.#linked.get(this.#stat.fileKey) === path) this.#linked.delete(this.#stat.fileKey);
  }

  /** @param type What the directory says of the name. Files are opened before they are looked at: one call less. */
  #packName(parentFd: number, path: ByteString, name: ByteString, type: number, level: number): void {
    const kind = this.selection.kindOf(path, name);
    if (kind === "delete") return this.#packWhiteoutOf(path, name);
    if (name.startsWith(OCI_WHITEOUT_PREFIX)) {
      if (this.#markers) return this.#packMarker(path, name);
      throw new StorageError(
        "not_supported",
        `Cannot archive "${textOfBytes(path)}": in a layer's tar a name that begins with ".wh." means a deleted file`,
        { hint: "rename or remove it" },
      );
    }
    const leaf = this.#leaf.fill(name);
    if (type === DT_REG) return this.#packFile(parentFd, path, leaf);
    if (type === DT_DIR) return this.#packDirectory(parentFd, path, leaf, level);
    const stat = lstatat(parentFd, leaf, this.#stat);
    if (stat.isOverlayWhiteout) return this.#packWhiteoutOf(path, name);
    if (stat.isDirectory) return this.#packDirectory(parentFd, path, leaf, level);
    if (stat.isFile) return this.#packFile(parentFd, path, leaf);
    if ((stat.mode & S_IFMT) === S_IFSOCK) return this.#skipSocket(path, name, kind === "modify");
    if (stat.nlink > 1 && this.#packLink(path)) return;
    this.#packSpecial(parentFd, path, leaf, stat.mode & S_IFMT);
  }

  /** What the socket replaced must not come back where the archive is applied. */
  #skipSocket(path: ByteString, name: ByteString, isReplacement: boolean): void {
    using lower = this.#lowers?.find(path);
    if (isReplacement || lower !== undefined) this.#packWhiteoutOf(path, name);
    this.#skippedSockets.push(textOfBytes(path));
  }

  /** Whether the file in `#stat` was written before, under another name. */
  #packLink(path: ByteString): boolean {
    const first = this.#linked.get(this.#stat.fileKey);
    if (first === undefined) {
      this.#linked.set(this.#stat.fileKey, path);
      return false;
    }
    this.#fill(TypeFlag.LINK, path);
    this.#entry.unsafeLinkPath = first;
    this.#writer.writeHeader(this.#entry);
    return true;
  }

  #packFile(parentFd: number, path: ByteString, leaf: Uint8Array<ArrayBuffer>): void {
    // NONBLOCK: should the name have become a fifo meanwhile, opening it must not wait for somebody to write.
    using file = new Fd(openat(parentFd, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    const { size, isFile, nlink } = fstat(file.fd, this.#stat);
    if (!isFile) throw changedMeanwhile(path);
    if (this.#isMasked && this.#standsForAnother(file.fd, path)) return this.#packStandIn(parentFd, path, leaf);
    if (nlink > 1 && this.#packLink(path)) return;
    this.#fill(TypeFlag.FILE, path);
    this.#entry.size = size;
    this.#entry.xattrs = this.#real(this.#xattrs.ofOpen(file.fd, path));
    this.#writer.writeHeader(this.#entry);
    if (size === 0) return;
    this.#files.put(file, size, path);
    this.#writer.padData(size);
  }

  #look(fd: number, path: ByteString): Stat {
    const stat = fstat(fd, this.#stat);
    if (this.#isMasked) overrideOpen(fd, stat, path);
    return stat;
  }

  #standsForAnother(fd: number, path: ByteString): boolean {
    overrideOpen(fd, this.#stat, path);
    return !this.#stat.isFile;
  }

  /** An empty file for what its attribute says. */
  #packStandIn(parentFd: number, path: ByteString, leaf: Uint8Array<ArrayBuffer>): void {
    const { nlink, mode } = this.#stat;
    if ((mode & S_IFMT) === S_IFSOCK) return this.#skipSocket(path, leafOf(path), false);
    if (nlink > 1 && this.#packLink(path)) return;
    this.#packSpecial(parentFd, path, leaf, mode & S_IFMT);
  }

  /** On disk the ACL has the permissions of the mode there, and ids are the host's. */
  #real(xattrs: ExportedXattrs): ExportedXattrs {
    if (xattrs === undefined) return undefined;
    const acl = this.#isMasked ? xattrs.get(ACL_XATTRS[0]) : undefined;
    if (acl !== undefined) xattrs.set(ACL_XATTRS[0], aclWithMode(acl, this.#entry.mode));
    if (this.#idMaps !== undefined) mapXattrsToContainer(xattrs, this.#entry.unsafePath, this.#idMaps);
    return xattrs;
  }

  #packSpecial(parentFd: number, path: ByteString, leaf: Uint8Array<ArrayBuffer>, type: number): void {
    const flag = SPECIAL_TYPES.get(type);
    if (flag === undefined) {
      throw new StorageError("not_supported", `Cannot archive "${textOfBytes(path)}": unknown type of file`);
    }
    this.#fill(flag, path);
    if (type === S_IFLNK) this.#entry.unsafeLinkPath = byteString(readlinkat(parentFd, leaf));
    if (type === S_IFCHR || type === S_IFBLK) {
      this.#entry.deviceMajor = this.#stat.rdevMajor;
      this.#entry.deviceMinor = this.#stat.rdevMinor;
    }
    const name = path === this.selection.as ? byteString(leaf, 0, leaf.indexOf(0)) : leafOf(path);
    this.#entry.xattrs = this.#real(this.#xattrs.ofName(parentFd, path, name));
    this.#writer.writeHeader(this.#entry);
  }

  /** A directory tells itself that it is opaque; what nobody has below need not be deleted. */
  #packMarker(path: ByteString, name: ByteString): void {
    if (name === OCI_OPAQUE) return;
    const deleted = path.slice(0, path.length - name.length) + name.slice(OCI_WHITEOUT_PREFIX.length);
    if (this.#hidesSomething(deleted)) this.#packWhiteout(path);
  }

  #packWhiteoutOf(path: ByteString, name: ByteString): void {
    this.#packWhiteout(path.slice(0, path.length - name.length) + OCI_WHITEOUT_PREFIX + name);
  }

  /** A fixed owner, mode and time: the kernel links all whiteouts of a mount to one file, whose own say nothing. */
  #packWhiteout(path: ByteString): void {
    const entry = this.#entry;
    entry.typeFlag = TypeFlag.FILE;
    entry.unsafePath = path;
    entry.unsafeLinkPath = "";
    entry.mode = WHITEOUT_MODE;
    entry.uid =
      entry.gid =
      entry.size =
      entry.mtimeSeconds =
      entry.mtimeNanoseconds =
        0;
    entry.deviceMajor = entry.deviceMinor = 0;
    entry.xattrs = undefined;
    this.#writer.writeHeader(this.#entry);
  }

  #fill(typeFlag: number, path: ByteString): void {
    const { stat, entry } = { stat: this.#stat, entry: this.#entry };
    entry.typeFlag = typeFlag;
    entry.unsafePath = path;
    entry.unsafeLinkPath = "";
    entry.mode = stat.mode & 0o7777;
    entry.xattrs = undefined;
    entry.uid = stat.uid;
    entry.gid = stat.gid;
    if (this.#idMaps !== undefined) mapOwnerToContainer(entry, this.#idMaps);
    entry.size = 0;
    entry.mtimeSeconds = stat.mtimeSeconds;
    entry.mtimeNanoseconds = this.#wholeSeconds ? 0 : stat.mtimeNanoseconds;
    entry.deviceMajor = entry.deviceMinor = 0;
  }
}

const SPECIAL_TYPES: ReadonlyMap<number, number> = new Map([
  [S_IFLNK, TypeFlag.SYMLINK],
  [S_IFCHR, TypeFlag.CHARACTER_DEVICE],
  [S_IFBLK, TypeFlag.BLOCK_DEVICE],
  [S_IFIFO, TypeFlag.FIFO],
]);

/** What may be wrong with a file, and not with the machine or with us. */
function isFilesFault(error: unknown): boolean {
  if (isStorageError(error)) return error.code === "not_supported" || error.code === "invalid_argument";
  return isErrno(error, "EACCES", "EPERM", "EIO", "ENOENT", "ENOTDIR", "ELOOP", "ENXIO", "ESTALE", "EUCLEAN", "E2BIG");
}

function changedMeanwhile(path: ByteString): StorageError {
  return new StorageError("system_error", `Cannot archive "${textOfBytes(path)}": it was replaced while it was read`);
}

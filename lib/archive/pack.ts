// SPDX-License-Identifier: Apache-2.0

/**
 * Directory -> tar: what an overlay layer's upper directory holds, as an archive. Deleted names become `.wh.` entries.
 *
 * A directory comes before what is in it, and names within one in the order of their bytes, so the same tree gives the
 * same archive. It fails closed: a file that cannot be read, named or encoded is an error, never left out.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import { Fd, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, openat, readlinkat } from "../../ffi/file.ts";
import {
  fstat,
  lstatat,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  Stat,
} from "../../ffi/stat.ts";
import { fgetxattr, flistxattr, lgetxattr, llistxattr } from "../../ffi/xattr.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { type IdMaps, toContainer } from "../id_map.ts";
import { type ByteString, byteString, CName, textOfBytes } from "../util/byte_string.ts";
import { FdWriter, SENDFILE_FROM } from "../util/fd_writer.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";
import { LAST, postRead } from "./_content_jobs.ts";
import { ContentThread, StreamDigest, WORTH_A_THREAD } from "./_content_thread.ts";
import { TarEntry, TypeFlag } from "./header.ts";
import { type StartHelper, startHelper } from "./helper_thread.ts";
import { isOpaqueValue, OCI_OPAQUE, OCI_WHITEOUT_PREFIX, opaqueXattr, type OverlayXattrNamespace } from "./whiteout.ts";
import { TarWriter } from "./writer.ts";
import { isExportedXattr } from "./xattr_filter.ts";

/** How a directory is packed. */
export interface PackOptions {
  /** Which attribute makes a directory opaque; `trusted` unless the mounts are made with `userxattr`. */
  overlayXattrs?: OverlayXattrNamespace;
  /** Files have the host's ids; the archive gets the container's. */
  idMaps?: IdMaps | undefined;
  /** Whether the digest of the archive is computed, in another thread. */
  digest?: boolean;
  control?: WorkControl;
  startHelper?: StartHelper | undefined;
  /** Bytes of the archive from which on a second thread helps with the files; left out: where it begins to pay. */
  secondThreadFrom?: number | undefined;
}

/** What was packed. */
export interface PackResult {
  entries: number;
  /** Bytes of the archive. */
  bytes: number;
  /** Sockets, which no archive can carry. */
  skippedSockets: string[];
  /** SHA-256 of the plain archive, `sha256:…`, where it was asked for. */
  diffId: string | undefined;
}

const WHITEOUT_MODE = 0o600;
/** A root directory that says nothing a new layer would not have anyway. */
const PLAIN_ROOT_MODE = 0o755;

/**
 * Writes everything in the directory `rootFd` to `archiveFd` as a tar.
 *
 * @throws {StorageError} `not_supported` for what an archive cannot say (a name that begins with `.wh.`, an attribute
 * whose name contains `=`, a directory that overlayfs moved or a file of which it copied only the metadata);
 * `system_error` for what cannot be read; `aborted`.
 */
export function pack(rootFd: number, archiveFd: number, options: PackOptions = {}): PackResult {
  try {
    using packer = new Packer(rootFd, archiveFd, options);
    return packer.run();
  } catch (error) {
    throw asStorageError(error, "Cannot write the archive");
  }
}

class Packer implements Disposable {
  readonly #output: FdWriter;
  readonly #writer: TarWriter;
  readonly #idMaps: IdMaps | undefined;
  readonly #overlayPrefix: string;
  readonly #opaqueXattr: string;
  readonly #control: WorkControl;
  readonly #tick: () => void;
  readonly #startHelper: StartHelper;
  readonly #secondThreadFrom: number;
  /** A second thread that reads files, once the archive is large enough for one. */
  #content: ContentThread | undefined;
  readonly #digest: StreamDigest | undefined;
  readonly #entry = new TarEntry();
  readonly #stat = new Stat();
  readonly #leaf = new CName();
  /** Path of the first name of each file that has several. */
  readonly #linked = new Map<string, ByteString>();
  readonly #skippedSockets: string[] = [];

  constructor(readonly rootFd: number, archiveFd: number, options: PackOptions) {
    this.#tick = (): void => this.#control.tick(this.#writer.entries, this.#writer.position);
    this.#output = new FdWriter(archiveFd, this.#tick);
    this.#writer = new TarWriter(this.#output);
    this.#idMaps = options.idMaps;
    const namespace = options.overlayXattrs ?? "trusted";
    this.#overlayPrefix = `${namespace}.overlay.`;
    this.#opaqueXattr = opaqueXattr(namespace);
    this.#control = options.control ?? UNWATCHED;
    this.#startHelper = options.startHelper ?? startHelper;
    this.#secondThreadFrom = options.secondThreadFrom ?? WORTH_A_THREAD;
    if (options.digest) {
      this.#digest = new StreamDigest(this.#output.ring, this.#startHelper, this.#tick);
      this.#output.setTap(this.#digest);
    }
  }

  [Symbol.dispose](): void {
    this.#content?.[Symbol.dispose]();
    this.#digest?.[Symbol.dispose]();
    this.#output[Symbol.dispose]();
  }

  run(): PackResult {
    using root = new Fd(openat(this.rootFd, ".", O_RDONLY | O_DIRECTORY));
    const names = sortedNames(root.fd);
    this.#packRoot(root.fd, names.length === 0);
    this.#packNames(root.fd, "", names);
    this.#writer.end();
    return {
      entries: this.#writer.entries,
      bytes: this.#writer.position,
      skippedSockets: this.#skippedSockets,
      diffId: this.#digest?.finish(),
    };
  }

  /** A layer in which nothing was done is the well-known empty archive of 1024 zero bytes. */
  #packRoot(fd: number, isEmpty: boolean): void {
    const stat = fstat(fd, this.#stat);
    const isPlain = (stat.mode & 0o7777) === PLAIN_ROOT_MODE && stat.uid === 0 && stat.gid === 0;
    const names = flistxattr(fd);
    const isOpaque = names.includes(this.#opaqueXattr) && isOpaqueValue(fgetxattr(fd, this.#opaqueXattr));
    const xattrs = this.#xattrs(names, ".", (name) => fgetxattr(fd, name));
    if (isEmpty && isPlain && !isOpaque && xattrs === undefined && this.#idMaps === undefined) return;
    this.#fill(TypeFlag.DIRECTORY, "./");
    this.#entry.xattrs = xattrs;
    this.#writer.writeHeader(this.#entry);
    if (isOpaque) this.#packWhiteout(OCI_OPAQUE);
  }

  #packDirectory(parentFd: number, path: ByteString, leaf: Uint8Array<ArrayBuffer>): void {
    using directory = new Fd(openat(parentFd, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    fstat(directory.fd, this.#stat);
    this.#fill(TypeFlag.DIRECTORY, `${path}/`);
    const names = flistxattr(directory.fd);
    this.#entry.xattrs = this.#xattrs(names, path, (name) => fgetxattr(directory.fd, name));
    this.#writer.writeHeader(this.#entry);
    if (names.includes(this.#opaqueXattr) && isOpaqueValue(fgetxattr(directory.fd, this.#opaqueXattr))) {
      this.#packWhiteout(`${path}/${OCI_OPAQUE}`);
    }
    this.#packNames(directory.fd, `${path}/`, sortedNames(directory.fd));
  }

  #packNames(fd: number, prefix: ByteString, names: readonly ByteString[]): void {
    for (const name of names) {
      const path = prefix + name;
      try {
        this.#packName(fd, path, name);
      } catch (error) {
        throw asStorageError(error, `Cannot archive "${textOfBytes(path)}"`);
      }
      this.#tick();
    }
  }

  #packName(parentFd: number, path: ByteString, name: ByteString): void {
    const leaf = this.#leaf.fill(name);
    const stat = lstatat(parentFd, leaf, this.#stat);
    if (stat.isOverlayWhiteout) {
      return this.#packWhiteout(path.slice(0, path.length - name.length) + OCI_WHITEOUT_PREFIX + name);
    }
    if (name.startsWith(OCI_WHITEOUT_PREFIX)) {
      throw new StorageError(
        "not_supported",
        `Cannot archive "${textOfBytes(path)}": in a layer's tar a name that begins with ".wh." means a deleted file`,
        { hint: "rename or remove it" },
      );
    }
    const type = stat.mode & S_IFMT;
    if (type === S_IFDIR) return this.#packDirectory(parentFd, path, leaf);
    if (type === S_IFSOCK) {
      this.#skippedSockets.push(textOfBytes(path));
      return;
    }
    if (stat.nlink > 1 && this.#packLink(path)) return;
    if (type === S_IFREG) return this.#packFile(parentFd, path, leaf);
    this.#packSpecial(parentFd, path, leaf, type);
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
    const size = this.#stat.size;
    this.#fill(TypeFlag.FILE, path);
    this.#entry.size = size;
    this.#entry.xattrs = this.#xattrs(flistxattr(file.fd), path, (name) => fgetxattr(file.fd, name));
    this.#writer.writeHeader(this.#entry);
    if (size === 0) return;
    if (this.#hasSecondThread() && (size < SENDFILE_FROM || !this.#output.bypassesBuffer)) {
      this.#handOver(file.release(), size, path);
    } else if (this.#output.copyFrom(file.fd, size, this.#tick) < size) {
      throw new StorageError(
        "system_error",
        `Cannot archive "${textOfBytes(path)}": it became shorter while it was read`,
      );
    }
    this.#writer.padData(size);
  }

  #hasSecondThread(): boolean {
    if (this.#content !== undefined) return this.#content.isAlive;
    if (this.#writer.position < this.#secondThreadFrom) return false;
    this.#content = new ContentThread(this.#output.ring, this.#startHelper, "Cannot archive", this.#tick);
    this.#output.setFiller(this.#content);
    return false;
  }

  /** Gives the open file to the second thread, which reads it to the places reserved for it, and closes it. */
  #handOver(fd: number, size: number, path: ByteString): void {
    const content = this.#content!;
    let left = size;
    try {
      this.#output.reservePieces(size, (offset, length) => {
        content.check();
        left -= length;
        postRead(content.queue, fd, offset, length, left === 0 ? LAST : 0);
        content.note(path);
      });
    } finally {
      // Not closed here: jobs on it may wait in the queue, and the number would soon be another file's.
      if (left > 0) postRead(content.queue, fd, 0, 0, LAST);
    }
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
    // Neither kind can be opened for its attributes; through its parent's descriptor in /proc it can be named.
    const name = new CName().fill(`/proc/self/fd/${parentFd}/${path.slice(path.lastIndexOf("/") + 1)}`);
    this.#entry.xattrs = this.#xattrs(llistxattr(name), path, (key) => lgetxattr(name, key));
    this.#writer.writeHeader(this.#entry);
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
    this.#writer.writeHeader(entry);
  }

  #xattrs(
    names: readonly string[],
    path: ByteString,
    read: (name: string) => Uint8Array<ArrayBuffer> | undefined,
  ): Map<string, Uint8Array<ArrayBuffer>> | undefined {
    if (names.length === 0) return undefined;
    let xattrs: Map<string, Uint8Array<ArrayBuffer>> | undefined;
    for (const name of [...names].sort()) {
      if (name.startsWith(this.#overlayPrefix)) this.#refuseIncomplete(name, path);
      if (!isExportedXattr(name)) continue;
      const value = read(name);
      if (value !== undefined) (xattrs ??= new Map()).set(name, value);
    }
    return xattrs;
  }

  /** With redirect_dir and metacopy the upper directory alone does not hold what changed. */
  #refuseIncomplete(name: string, path: ByteString): void {
    const mark = name.slice(this.#overlayPrefix.length);
    if (mark !== "redirect" && mark !== "metacopy") return;
    throw new StorageError(
      "not_supported",
      `Cannot archive "${textOfBytes(path)}": the layer was written with the overlayfs option ${
        mark === "redirect" ? "redirect_dir" : "metacopy"
      }, and part of it lies in its parents`,
    );
  }

  #fill(typeFlag: number, path: ByteString): void {
    const { stat, entry } = { stat: this.#stat, entry: this.#entry };
    entry.typeFlag = typeFlag;
    entry.unsafePath = path;
    entry.unsafeLinkPath = "";
    entry.mode = stat.mode & 0o7777;
    entry.uid = this.#idMaps === undefined ? stat.uid : toContainer(stat.uid, this.#idMaps.uidMaps);
    entry.gid = this.#idMaps === undefined ? stat.gid : toContainer(stat.gid, this.#idMaps.gidMaps);
    entry.size = 0;
    entry.mtimeSeconds = stat.mtimeSeconds;
    entry.mtimeNanoseconds = stat.mtimeNanoseconds;
    entry.deviceMajor = entry.deviceMinor = 0;
    entry.xattrs = undefined;
  }
}

const SPECIAL_TYPES: ReadonlyMap<number, number> = new Map([
  [S_IFLNK, TypeFlag.SYMLINK],
  [S_IFCHR, TypeFlag.CHARACTER_DEVICE],
  [S_IFBLK, TypeFlag.BLOCK_DEVICE],
  [S_IFIFO, TypeFlag.FIFO],
]);

/** The names in the open directory `fd`, in the order of their bytes. */
function sortedNames(fd: number): ByteString[] {
  const names: ByteString[] = [];
  readDirectory(fd, (buffer, start, end) => names.push(byteString(buffer, start, end)));
  return names.sort();
}

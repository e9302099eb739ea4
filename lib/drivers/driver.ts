// SPDX-License-Identifier: Apache-2.0

/**
 * # What a graph driver is
 *
 * A **layer** is a set of changes to a file system: files added, files changed, names deleted. It has an id and at most
 * one **parent**; a layer seen through its parents is a whole root file system. A **graph driver** keeps layers in a
 * directory of the host, its **home**, and can show any of them as a mounted tree. Every driver here uses overlayfs:
 * the parents' directories are the read-only *lower* directories of a mount, the layer's own directory is the *upper*.
 *
 * ## The life of an image layer
 *
 * 1. `create(id, {parent})`: an empty layer.
 * 2. `applyDiff(id, tar)`: fills it, all or nothing.
 * 3. `create(child, {parent: id})`: from now on `id` is *committed*; mounting it gives a read-only tree.
 * 4. `remove(id)`, once nothing is mounted and no layer has it as its parent.
 *
 * ## The life of a container's layer
 *
 * 1. `createReadWrite(id, {parent})`: an empty layer to write in, perhaps with a limit on its size.
 * 2. `get(id)`: mounts it and tells where; the container runs in there.
 * 3. `put(id)`: the container ended. The last `put` unmounts.
 * 4. `diff(id)`: what it changed, as a tar stream that `applyDiff` takes anywhere else. `changes(id)` lists the same
 *    as paths, `diffSize(id)` adds up the bytes.
 *
 * ## Counting
 *
 * `get` and `put` are counted over all processes that use the store: the first `get` mounts, the last `put` unmounts, the
 * order of who does which does not matter. A mount that somebody else made counts as one `get`. A `put` too many is no
 * error and does nothing. Counts live in the run root, under a lock, and outlive every process; they end with the machine.
 *
 * ## What every driver promises
 *
 * - A failed call leaves the store as it was. A process that dies at any instruction leaves a store that opens; what it
 *   was building lies under a name that begins with `.lamina-`, which is never a layer.
 * - Several processes may use one home at once.
 * - An id from outside is validated before it becomes part of a path.
 * - Every failure is a `StorageError`; each method lists its codes. `invalid_argument` (an id that can be none),
 *   `permission_denied`, `no_space` and `system_error` can come from all of them and are not repeated.
 *
 * @module
 */

import type { ArchiveLimits } from "../archive/limits.ts";
import type { SkippedFile } from "../archive/pack.ts";
import type { DroppedXattr, XattrNamespace, XattrPolicies } from "../archive/xattr_filter.ts";
import type { IdMap, IdMaps } from "../id_map.ts";
import type { LayerQuota } from "../mount/project_quota.ts";

export type { ArchiveLimits } from "../archive/limits.ts";
export type { SkippedFile } from "../archive/pack.ts";
export type { DroppedXattr, XattrNamespace, XattrPolicies, XattrPolicy } from "../archive/xattr_filter.ts";
export type { LayerQuota } from "../mount/project_quota.ts";

/** A change to one path, seen from the parent. */
export type ChangeKind = "modify" | "add" | "delete";

/** One line of `changes`. */
export interface Change {
  /** Absolute in the layer: begins with `/`. */
  path: string;
  /** What happened to it. */
  kind: ChangeKind;
}

/** A name and a value that describe a driver, in the words that `docker info` shows. */
export type StatusEntry = readonly [name: string, value: string];

/** A layer as `layers` lists it. */
export interface LayerInfo {
  /** Its id. */
  id: string;
  /** Its parent's id; undefined for a base layer. */
  parent: string | undefined;
  /** How many layers lie below it: 0 for a base layer. */
  depth: number;
  /** Whether it is mounted at the moment. */
  mounted: boolean;
}

/** Where a layer lies. Docker's `inspect` shows these under the same names, capitalised. */
export interface LayerMetadata {
  /** The layer's own content. */
  upperDir: string;
  /** The kernel's scratch directory. */
  workDir: string;
  /** Where `get` mounts. */
  mergedDir: string;
  /** The parents' contents, uppermost first; empty for a base layer. */
  lowerDirs: string[];
  /** Left out: the layer has no limit of its own, or the kernel does not tell. */
  quota?: LayerQuota;
}

/** How a layer is made. */
export interface CreateOptions {
  /** The layer below; left out for a base layer. */
  parent?: string;
  /** Who owns the new directories: the host's ids of the container's root. Left out, those of the driver. */
  idMaps?: IdMaps;
  /** Per-layer options: `{size: "10G"}` limits a read-write layer; `0` is no limit, also where the driver has a default. */
  storageOptions?: Readonly<Record<string, string>>;
  /** SELinux context for the layer's mounts. */
  mountLabel?: string;
}

/** How a layer is mounted. */
export interface GetOptions {
  /** SELinux context of the mount. */
  mountLabel?: string;
  /** Further overlayfs options, each as the kernel spells it: `["volatile"]`. */
  mountOptions?: readonly string[];
  /** Mounts without an upper directory: nothing can be written. A layer that is mounted already is shown as it is. */
  readOnly?: boolean;
}

/** How a layer is removed. */
export interface RemoveOptions {
  /** Unmounts a layer that is mounted, instead of refusing. */
  force?: boolean;
}

/** How far a long operation got. */
export interface Progress {
  /** Archive entries so far. */
  entries: number;
  /** Bytes of the uncompressed archive so far. */
  bytes: number;
}

/** What long operations have in common. */
export interface WorkOptions {
  /** Ends the work within a tenth of a second; it then fails with `aborted` and leaves nothing behind. */
  signal?: AbortSignal;
  /** Called some ten times a second while the work goes on. */
  onProgress?: (progress: Progress) => void;
}

/**
 * What a layer is compared with. Left out: its own parent. `null`: nothing at all, so that everything one sees in the
 * layer counts as added.
 */
export interface CompareOptions extends WorkOptions {
  /** The id of the other layer, or `null`. */
  parent?: string | null;
  /**
   * Whether other extended attributes than `security.capability` count, which alone does by Docker's rules. A diff holds
   * all that differ, and those of `xattrs` where that is given, without being told.
   */
  compareXattrs?: boolean;
  /** Reads files of which nothing else differs: one can be rewritten with the same size and be given its old time. */
  compareContent?: boolean;
}

/** How an archive is taken in. */
export interface ApplyOptions extends WorkOptions {
  /** The layer's own parent, if it is given. */
  parent?: string | null;
  /** What to do with extended attributes that cannot be set, by namespace; left out, that is an error. */
  xattrs?: XattrPolicies;
  /** How much the archive may ask for; each limit left out has a default that no honest layer meets. */
  limits?: Partial<ArchiveLimits>;
  /** Whether device nodes are made (the default), or refused with `permission_denied`. */
  devices?: "create" | "refuse";
  /**
   * Takes an archive without its two closing zero blocks, which may be one that was cut short between two entries. It
   * must still end behind a whole entry.
   */
  allowMissingEnd?: boolean;
  /** Computes the archive's digests while it is read, in another thread. */
  digest?: boolean;
}

/** How a diff is written. */
export interface DiffOptions extends CompareOptions {
  /** Left out: plain tar. */
  compression?: "gzip" | "zstd";
  /** Computes the archive's digests while it is written, in another thread. */
  digest?: boolean;
  /**
   * Leaves out what cannot be archived (unreadable, without a place in a tar, not covered by the id maps), and lists it,
   * instead of failing. A file that fails in the middle of its content is an error all the same.
   */
  skipErrors?: boolean;
  /** `seconds` cuts times to whole seconds, as Docker does; `full`, the default, keeps them to the nanosecond. */
  times?: "full" | "seconds";
  /** Whose extended attributes go out; all by default, but for what belongs to the storage driver or the host. */
  xattrs?: readonly XattrNamespace[];
}

/** What identifies an archive, where `digest` asked for it: SHA-256 as `sha256:` and hexadecimal digits. */
export interface ArchiveDigests {
  /** Of the uncompressed archive: the DiffID of an image's configuration. */
  diffId: string | undefined;
  /** Of the archive as it came in or went out: the digest by which a registry knows it. The same if not compressed. */
  archiveDigest: string | undefined;
}

/** What a diff held. */
export interface DiffResult extends ArchiveDigests {
  /** Entries written, whiteouts among them. */
  entries: number;
  /** Bytes of the uncompressed archive. */
  bytes: number;
  /** Paths of sockets, which no archive can carry. One that replaced something of the layers below leaves a whiteout. */
  skippedSockets: string[];
  /** What was left out with `skipErrors`. */
  skipped: SkippedFile[];
}

/** What an applied diff held. */
export interface ApplyResult extends ArchiveDigests {
  /** Entries of the archive. */
  entries: number;
  /** Bytes of the uncompressed archive. */
  bytes: number;
  /** Bytes of the layer's files, hard links once: what `diffSize` gives for it. */
  sizeBytes: number;
  /** Extended attributes that were left out, and why. */
  droppedXattrs: DroppedXattr[];
}

/** An open file of the calling process, for archives that need not pass through JavaScript. It stays open. */
export interface FileDescriptor {
  /** Its number. */
  fd: number;
}

/** A layer that `get` mounted. Disposing it is `put`. */
export interface MountedLayer extends AsyncDisposable {
  /** The layer. */
  readonly id: string;
  /** Where its tree is to be seen. */
  readonly path: string;
}

/** Reads files of one layer by the names a tar gives them; for programs that rebuild archives from recorded headers. */
export interface DiffGetter extends AsyncDisposable {
  /**
   * The content of a regular file of the layer itself, parents not included.
   *
   * @throws {StorageError} `unsafe_path` if the name leads out of the layer; `invalid_argument` if it is no regular file.
   */
  open(unsafePath: string): Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;
}

/**
 * The interface of every driver. The words are those of Docker's graph drivers, so that who knows the one knows the other.
 *
 * Disposing a driver gives back what this object holds: the mounts that its `get`s made and its `put`s did not release,
 * and its Workers. It leaves other processes' mounts alone; `cleanup` does not.
 *
 * @example A layer on a base, in a directory of your own (needs root)
 * ```ts ignore
 * import { openDriver } from "lamina";
 *
 * await using driver = await openDriver({ root: "/var/lib/my-runner", runRoot: "/run/my-runner" });
 * await driver.create("base");
 * using rootfs = await Deno.open("rootfs.tar.gz");
 * await driver.applyDiff("base", rootfs.readable);
 *
 * await driver.createReadWrite("job-1", { parent: "base" });
 * await using job = await driver.get("job-1");
 * await Deno.writeTextFile(`${job.path}/etc/motd`, "hello\n");
 * console.log(await driver.changes("job-1")); // [{ path: "/etc", kind: "modify" }, …]
 * ```
 */
export interface GraphDriver extends AsyncDisposable {
  /** The driver's name: `overlay2`. */
  readonly name: string;
  /** The directory of its layers. */
  readonly home: string;

  /**
   * Makes an empty layer. If it has a parent, that one is committed from now on.
   *
   * @throws {StorageError} `layer_exists` (nothing is touched), `parent_not_found`, `max_depth_exceeded`;
   * `not_supported` for a size, which only read-write layers can have.
   */
  create(id: string, options?: CreateOptions): Promise<void>;

  /**
   * Makes an empty layer to be written in.
   *
   * @throws {StorageError} As `create`; `not_supported` for a size, also one that is the driver's default, where the file
   * system has no project quota: the message says what it lacks, the hint how to get it.
   */
  createReadWrite(id: string, options?: CreateOptions): Promise<void>;

  /**
   * Makes a layer with the same parent and the same content as `template`.
   *
   * @throws {StorageError} As `create`; `layer_not_found` if there is no `template`.
   */
  createFromTemplate(id: string, template: string, options?: CreateOptions): Promise<void>;

  /**
   * Removes a layer and what is in it. A layer that is not there is no error.
   *
   * @throws {StorageError} `layer_in_use`: it is mounted (and `force` is not set), or the parent of another layer.
   */
  remove(id: string, options?: RemoveOptions): Promise<void>;

  /**
   * Mounts a layer, or counts one more user of it. A base layer is shown as it lies, without a mount.
   *
   * @throws {StorageError} `layer_not_found`; `mount_failed` with the kernel's words; `store_damaged` if a file of the
   * layer is missing or an apply to it was interrupted.
   */
  get(id: string, options?: GetOptions): Promise<MountedLayer>;

  /**
   * Counts one user less; the last one unmounts. A layer that is not mounted, or not there, is no error.
   *
   * @throws {StorageError} `layer_in_use` if the mount cannot be taken down.
   */
  put(id: string): Promise<void>;

  /** Whether there is such a layer. */
  exists(id: string): Promise<boolean>;

  /** All layers, in the order of their ids. */
  layers(): AsyncIterable<LayerInfo>;

  /** What the driver found out about the file system and the kernel. */
  status(): Promise<StatusEntry[]>;

  /**
   * Where a layer lies.
   *
   * @throws {StorageError} `layer_not_found`, `store_damaged`.
   */
  getMetadata(id: string): Promise<LayerMetadata>;

  /**
   * The layer's changes as a tar stream: deleted names as `.wh.` entries, the same bytes each time. Read the
   * stream to its end or cancel it: until then the work waits, and keeps the process alive.
   *
   * @throws {StorageError} `layer_not_found`. What goes wrong later is the stream's error: a diff never ends well without
   * being whole.
   */
  diff(id: string, options?: DiffOptions): Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;

  /** As `diff`, written to an open file or pipe. */
  diffTo(id: string, output: FileDescriptor, options?: DiffOptions): Promise<DiffResult>;

  /**
   * Fills an empty layer from a tar: plain, gzip or zstd, recognised by content. All or nothing: when it fails, the
   * layer is as empty as before. A descriptor is read from where it stands, to the archive's end.
   *
   * @throws {StorageError} `invalid_archive`, `unsafe_path`, `layer_not_found`, `layer_not_empty`, `layer_in_use`
   * (mounted, or another apply is at work), `limit_exceeded`, `quota_exceeded`, `not_supported` (a compression that is not read, an attribute
   * that the file system does not keep), `aborted`.
   */
  applyDiff(
    id: string,
    diff: ReadableStream<Uint8Array> | FileDescriptor,
    options?: ApplyOptions,
  ): Promise<ApplyResult>;

  /**
   * Bytes of the files that a layer adds or changes, hard links once.
   *
   * @throws {StorageError} `layer_not_found`.
   */
  diffSize(id: string, options?: CompareOptions): Promise<number>;

  /**
   * The paths that a layer adds, changes or deletes, in the order of their bytes. A directory above a change is listed
   * as modified.
   *
   * @throws {StorageError} `layer_not_found`.
   */
  changes(id: string, options?: CompareOptions): Promise<Change[]>;

  /**
   * Gives the files of a layer to other host ids.
   *
   * @throws {StorageError} `layer_not_found`, `layer_in_use`, `not_supported`.
   */
  updateLayerIdMap(
    id: string,
    toContainer: readonly IdMap[],
    toHost: readonly IdMap[],
    options?: { mountLabel?: string },
  ): Promise<void>;

  /**
   * Opens a layer for reading single files.
   *
   * @throws {StorageError} `layer_not_found`.
   */
  diffGetter(id: string): Promise<DiffGetter>;

  /** Unmounts every layer of the home, whoever mounted it. For the end of a service that owns the store. */
  cleanup(): Promise<void>;
}

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
 *   was building lies under a name that begins with `.lamina-`, which is never a layer, until `sweep` removes it.
 * - Several processes may use one home at once.
 * - An id from outside is validated before it becomes part of a path.
 * - Every failure is a `StorageError`; each method lists its codes. `invalid_argument` (an id that can be none),
 *   `permission_denied`, `no_space` and `system_error` can come from all of them and are not repeated.
 *
 * @module
 */

import type { IdMaps } from "../id_map.ts";
import type { DriverName } from "./driver_name.ts";
import type { DiskUsage, LayerInfo, LayerMetadata, UsageOptions } from "./layer_info.ts";
import type { CheckOptions, Finding } from "./store_check.ts";
import type { MountedView, ViewInfo, ViewOptions } from "./view_options.ts";
import type {
  ApplyOptions,
  ApplyResult,
  Change,
  CompareOptions,
  DiffOptions,
  DiffResult,
  FileDescriptor,
  ManifestDifference,
  RemapOptions,
  WorkOptions,
} from "./work_options.ts";

export * from "./layer_info.ts";
export * from "./store_check.ts";
export * from "./view_options.ts";
export * from "./work_options.ts";

/** A name and a value that describe a driver, in the words that `docker info` shows. */
export type StatusEntry = readonly [name: string, value: string];

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
  /** SELinux context of the mount; of no consequence where SELinux is not at work. */
  mountLabel?: string;
  /**
   * Further options of overlayfs and of mounts, each as the kernel spells it, or lists with commas: `["volatile,nodev"]`.
   * Those that exclude each other, and those that would make diffs wrong, are refused with `invalid_argument`.
   */
  mountOptions?: readonly string[];
  /**
   * Mounts without an upper directory: nothing can be written. A layer that is mounted to be written in is refused with
   * `layer_in_use`, as is the other way round; `mountAt` shows it read-only beside that mount.
   */
  readOnly?: boolean;
  /**
   * Files of the layers below, which have the container's ids on disk, are seen with the host's, without a copy: by id-mapped
   * lower directories (Linux 5.19), or by a mount program. An id that the maps do not cover is seen as nobody's (65534).
   *
   * The kernel maps no upper directory. What is written in the layer has the host's ids on disk, as under containers/storage:
   * make it with the same maps (`CreateOptions.idMaps`), so that its root belongs to the container's root, and give them
   * to `diff` and `changes`. Below other layers it is known by that root, and seen as it is. A read-only view maps the
   * layer's own directory as well, unless it was written so. A layer that is mounted already is shown as it is.
   *
   * Where it cannot be had, that is `not_supported`, with what is missing: see {@linkcode GraphDriver.supportsShifting}.
   */
  idMaps?: IdMaps;
}

/** How a layer is removed. */
export interface RemoveOptions {
  /** Unmounts a layer that is mounted, instead of refusing. */
  force?: boolean;
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
 * the views that it made, and its Workers. It leaves other processes' mounts alone; `cleanup` does not.
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
  /** The driver's name. */
  readonly name: DriverName;
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
   * @throws {StorageError} `layer_in_use`: it is mounted (and `force` is not set), shown in a view, or the parent of
   * another layer.
   */
  remove(id: string, options?: RemoveOptions): Promise<void>;

  /**
   * Mounts a layer, or counts one more user of it. A base layer is shown as it lies, without a mount.
   *
   * @throws {StorageError} `layer_not_found`; `mount_failed` with the kernel's words; `store_damaged` if a file of the
   * layer is missing or an apply to it was interrupted; `layer_in_use`: it is mounted read-only and is to be written, or
   * the other way round; `store_read_only`: it is to be written, and the store cannot be; with id maps `not_supported`, and
   * `invalid_argument` for maps that the kernel does not take, or in which the layer's own root is nobody.
   */
  get(id: string, options?: GetOptions): Promise<MountedLayer>;

  /**
   * Counts one user less; the last one unmounts, unless a view needs the mount. A layer that is not mounted, or not
   * there, is no error.
   *
   * @throws {StorageError} `layer_in_use` if the mount cannot be taken down.
   */
  put(id: string): Promise<void>;

  /**
   * Shows layers at the directory `target`, which is there and stays; what is in it is covered meanwhile. Views outlive
   * this process, and end with the machine. They do not count as users of a layer, but keep it mounted.
   *
   * One layer is shown as `get` shows it: written in, unless it is to be read-only, or committed, or the store cannot be
   * written. Several are joined into one read-only tree, the first uppermost, each with all layers below it. A layer that
   * several have in common lies below them all, so that none is above one that lies on it. Joined layers must not change:
   * while they are, they are not mounted to be written in. With the layers below they are 500 at most.
   *
   * The same view again is no second mount, and no error.
   *
   * @throws {StorageError} `invalid_argument`: a target that is no directory, lies in the home or covers it, or a layer
   * named twice; `layer_in_use`: another view is there, or a layer to be joined is being written; `max_depth_exceeded`;
   * and as `get`.
   *
   * @example A read-only look at a layer that a job writes in
   * ```ts ignore
   * await using view = await driver.mountAt("/srv/job-1", ["job-1"], { readOnly: true });
   * ```
   */
  mountAt(target: string, ids: readonly string[], options?: ViewOptions): Promise<MountedView>;

  /**
   * Takes a view down, by whatever path name its directory is reached and whichever process made it, also one that was
   * killed while it did. Who has files open keeps them.
   *
   * @returns False if nothing is mounted there.
   * @throws {StorageError} `invalid_argument`: something is, but it is no view of this home; `layer_in_use`: something else
   * is mounted over it, or another view in it.
   */
  unmountAt(target: string): Promise<boolean>;

  /** The views of the home, whoever made them. */
  views(): Promise<ViewInfo[]>;

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
   * (mounted, the parent of another layer, or another apply is at work), `limit_exceeded`, `quota_exceeded`, `not_supported` (a compression that is not read, an attribute
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
   * What layers occupy on the disk: all of them, or those of `ids`. Their directories are read name by name, whatever the
   * format; files with several names count once. What cannot be read is left out, and listed.
   *
   * @throws {StorageError} `layer_not_found`; `aborted`.
   *
   * @example
   * ```ts ignore
   * const { layers } = await driver.usage();
   * for (const { id, exclusiveBytes } of layers) console.log(`${id} holds ${exclusiveBytes} bytes of its own`);
   * ```
   */
  usage(options?: UsageOptions): Promise<DiskUsage>;

  /**
   * The paths that a layer adds, changes or deletes, in the order of their bytes. A directory above a change is listed
   * as modified.
   *
   * @throws {StorageError} `layer_not_found`.
   */
  changes(id: string, options?: CompareOptions): Promise<Change[]>;

  /**
   * Gives all files that one sees in a layer to other host ids: those that `from` makes ids of the container, to what `to`
   * makes of these. Without maps ids are the same inside and out. The layer then holds copies of its parents' files.
   * When it fails, the layer is as before.
   *
   * @throws {StorageError} `layer_not_found`; `layer_in_use`: it is mounted, or the parent of another layer;
   * `invalid_argument`: a file whose owner the maps do not cover; `not_supported`: the driver's format has no such thing.
   */
  updateLayerIdMap(
    id: string,
    from: IdMaps | undefined,
    to: IdMaps | undefined,
    options?: RemapOptions,
  ): Promise<void>;

  /**
   * Whether `get` can show a layer under other ids without a change to its files: by id-mapped lower directories, which take
   * Linux 5.19, root of the machine, and a file system that can (ext4, XFS, btrfs, tmpfs since Linux 6.3, …; not overlayfs,
   * NFS or 9p), or by a mount program. It is tried once a boot. See mount_setattr(2), "ID-mapped mounts".
   */
  supportsShifting(): Promise<boolean>;

  /**
   * Opens a layer for reading single files.
   *
   * @throws {StorageError} `layer_not_found`.
   */
  diffGetter(id: string): Promise<DiffGetter>;

  /**
   * Removes what calls left that did not come to their end because their process died or the machine stopped, and returns
   * the names: layers half removed, and layers half made. What a living process is at stays. For the beginning of a service.
   */
  sweep(): Promise<string[]>;

  /**
   * Looks for damage, and with `repair` repairs what can be repaired from what is written elsewhere; store_check.ts tells
   * what is looked for and what is done about it. Without `repair` nothing is changed. Findings come as they are found.
   *
   * @throws {StorageError} `invalid_argument`: `dockerRoot` is no data-root of dockerd; `aborted`.
   *
   * @example
   * ```ts ignore
   * for await (const { path, problem, action } of driver.check()) console.log(`${path} ${problem}: ${action}`);
   * ```
   */
  check(options?: CheckOptions): AsyncIterable<Finding>;

  /**
   * Writes down what is in a layer, with a digest of each file, as `applyDiff` does with `manifest`. What was written down
   * before is replaced.
   *
   * @throws {StorageError} `layer_not_found`, `layer_in_use` and `store_damaged`: it is not whole.
   */
  recordManifest(id: string, options?: WorkOptions): Promise<void>;

  /**
   * What in a layer is no longer as its manifest says; undefined if it has none.
   *
   * @throws {StorageError} `layer_not_found`; `store_damaged`: the manifest cannot be read.
   */
  verify(id: string, options?: WorkOptions): Promise<ManifestDifference[] | undefined>;

  /** Unmounts every view and every layer of the home, whoever mounted it. For the end of a service that owns the store. */
  cleanup(): Promise<void>;
}

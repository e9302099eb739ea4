// SPDX-License-Identifier: Apache-2.0

/**
 * A driver that tells what is done with it. Every face of the agent works on one, so that events and metrics hold what all
 * of them do.
 *
 * @module
 */

import type {
  ApplyOptions,
  ApplyResult,
  Change,
  CheckOptions,
  CompareOptions,
  CreateOptions,
  DiffGetter,
  DiffOptions,
  DiffResult,
  DiskUsage,
  FileDescriptor,
  Finding,
  GetOptions,
  GraphDriver,
  LayerInfo,
  LayerMetadata,
  ManifestDifference,
  MountedLayer,
  MountedView,
  RemapOptions,
  RemoveOptions,
  StatusEntry,
  UsageOptions,
  ViewInfo,
  ViewOptions,
  WorkOptions,
} from "../drivers/driver.ts";
import type { DriverName } from "../drivers/registry.ts";
import { asStorageError, type StorageErrorCode } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";

/** What can be done with a driver, in the words of the command line. */
export type OperationName =
  | "apply"
  | "changes"
  | "cleanup"
  | "create"
  | "diff"
  | "exists"
  | "inspect"
  | "list"
  | "mount"
  | "read"
  | "remap"
  | "remove"
  | "size"
  | "status"
  | "unmount"
  | "usage"
  | "verify";

/** Something that was done, or tried. */
export interface Operation {
  readonly name: OperationName;
  /** The directory of the driver's layers. */
  readonly home: string;
  /** Left out: it was about no layer alone. */
  readonly id?: string;
  /** As it was asked for. */
  readonly parent?: string;
  /** Of an archive that went in or out whole, uncompressed; of a `diff` as a stream, those that went out. */
  readonly bytes?: number;
  readonly seconds: number;
  /** Why it failed; left out, it did not. */
  readonly code?: StorageErrorCode;
}

/** What is known of an operation before it begins. */
type About = Pick<Operation, "name" | "id" | "parent">;

/** A driver, and somebody who wants to know. */
export class ObservedDriver implements GraphDriver {
  readonly name: DriverName;
  readonly home: string;
  readonly #driver: GraphDriver;
  readonly #tell: (operation: Operation) => void;

  /** @param tell Called when an operation is over. */
  constructor(driver: GraphDriver, tell: (operation: Operation) => void) {
    this.name = driver.name;
    this.home = driver.home;
    this.#driver = driver;
    this.#tell = tell;
  }

  /** Runs `work`, and tells of it; `bytesOf` its result are those of an archive. */
  async #run<T>(about: About, work: () => Promise<T>, bytesOf?: (result: T) => number): Promise<T> {
    const start = performance.now();
    try {
      const result = await work();
      this.#over(about, start, bytesOf?.(result));
      return result;
    } catch (error) {
      this.#failed(about, start, error);
      throw error;
    }
  }

  #over(about: About, start: number, bytes?: number): void {
    const seconds = (performance.now() - start) / 1000;
    this.#tell({ ...about, home: this.home, ...(bytes === undefined ? {} : { bytes }), seconds });
  }

  #failed(about: About, start: number, error: unknown): void {
    const seconds = (performance.now() - start) / 1000;
    this.#tell({ ...about, home: this.home, seconds, code: asStorageError(error, "").code });
  }

  create(id: string, options: CreateOptions = {}): Promise<void> {
    return this.#run({ name: "create", id, ...parentOf(options) }, () => this.#driver.create(id, options));
  }

  createReadWrite(id: string, options: CreateOptions = {}): Promise<void> {
    return this.#run({ name: "create", id, ...parentOf(options) }, () => this.#driver.createReadWrite(id, options));
  }

  createFromTemplate(id: string, template: string, options: CreateOptions = {}): Promise<void> {
    return this.#run({ name: "create", id }, () => this.#driver.createFromTemplate(id, template, options));
  }

  remove(id: string, options?: RemoveOptions): Promise<void> {
    return this.#run({ name: "remove", id }, () => this.#driver.remove(id, options));
  }

  async get(id: string, options?: GetOptions): Promise<MountedLayer> {
    const layer = await this.#run({ name: "mount", id }, () => this.#driver.get(id, options));
    const release = (): Promise<void> =>
      this.#run({ name: "unmount", id }, async () => await layer[Symbol.asyncDispose]());
    return { id: layer.id, path: layer.path, [Symbol.asyncDispose]: release };
  }

  put(id: string): Promise<void> {
    return this.#run({ name: "unmount", id }, () => this.#driver.put(id));
  }

  exists(id: string): Promise<boolean> {
    return this.#run({ name: "exists", id }, () => this.#driver.exists(id));
  }

  async *layers(): AsyncGenerator<LayerInfo> {
    const start = performance.now();
    let tell = (): void => this.#over({ name: "list" }, start);
    try {
      yield* this.#driver.layers();
    } catch (error) {
      tell = (): void => this.#failed({ name: "list" }, start, error);
      throw error;
    } finally {
      // Also where somebody found what he looked for before the end.
      tell();
    }
  }

  status(): Promise<StatusEntry[]> {
    return this.#run({ name: "status" }, () => this.#driver.status());
  }

  getMetadata(id: string): Promise<LayerMetadata> {
    return this.#run({ name: "inspect", id }, () => this.#driver.getMetadata(id));
  }

  /** The operation is over when the stream is: read to its end, failed or cancelled. */
  async diff(id: string, options: DiffOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const about: About = { name: "diff", id, ...parentOf(options) };
    const start = performance.now();
    try {
      return this.#counted(await this.#driver.diff(id, options), about, start);
    } catch (error) {
      this.#failed(about, start, error);
      throw error;
    }
  }

  #counted(
    stream: ReadableStream<Uint8Array<ArrayBuffer>>,
    about: About,
    start: number,
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    const reader = stream.getReader();
    let bytes = 0;
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: async (controller): Promise<void> => {
        try {
          const { value, done } = await reader.read();
          if (!done) {
            bytes += value.length;
            return controller.enqueue(value);
          }
          this.#over(about, start, bytes);
          controller.close();
        } catch (error) {
          this.#failed(about, start, error);
          controller.error(error);
        }
      },
      cancel: async (reason): Promise<void> => {
        this.#tell({ ...about, home: this.home, seconds: (performance.now() - start) / 1000, code: "output_closed" });
        await reader.cancel(reason);
      },
    }, { highWaterMark: 0 });
  }

  diffTo(id: string, output: FileDescriptor, options: DiffOptions = {}): Promise<DiffResult> {
    const about: About = { name: "diff", id, ...parentOf(options) };
    return this.#run(about, () => this.#driver.diffTo(id, output, options), ({ bytes }) => bytes);
  }

  applyDiff(
    id: string,
    diff: ReadableStream<Uint8Array> | FileDescriptor,
    options: ApplyOptions = {},
  ): Promise<ApplyResult> {
    const about: About = { name: "apply", id, ...parentOf(options) };
    return this.#run(about, () => this.#driver.applyDiff(id, diff, options), ({ bytes }) => bytes);
  }

  diffSize(id: string, options?: CompareOptions): Promise<number> {
    return this.#run({ name: "size", id }, () => this.#driver.diffSize(id, options));
  }

  usage(options?: UsageOptions): Promise<DiskUsage> {
    return this.#run({ name: "usage" }, () => this.#driver.usage(options));
  }

  changes(id: string, options?: CompareOptions): Promise<Change[]> {
    return this.#run({ name: "changes", id }, () => this.#driver.changes(id, options));
  }

  updateLayerIdMap(
    id: string,
    from: IdMaps | undefined,
    to: IdMaps | undefined,
    options?: RemapOptions,
  ): Promise<void> {
    return this.#run({ name: "remap", id }, () => this.#driver.updateLayerIdMap(id, from, to, options));
  }

  async mountAt(target: string, ids: readonly string[], options?: ViewOptions): Promise<MountedView> {
    return await this.#run({ name: "mount", id: ids.join(",") }, () => this.#driver.mountAt(target, ids, options));
  }

  unmountAt(target: string): Promise<boolean> {
    return this.#run({ name: "unmount" }, () => this.#driver.unmountAt(target));
  }

  views(): Promise<ViewInfo[]> {
    return this.#run({ name: "list" }, () => this.#driver.views());
  }

  sweep(): Promise<string[]> {
    return this.#run({ name: "cleanup" }, () => this.#driver.sweep());
  }

  check(options?: CheckOptions): AsyncIterable<Finding> {
    return this.#driver.check(options);
  }

  recordManifest(id: string, options?: WorkOptions): Promise<void> {
    return this.#run({ name: "verify", id }, () => this.#driver.recordManifest(id, options));
  }

  verify(id: string, options?: WorkOptions): Promise<ManifestDifference[] | undefined> {
    return this.#run({ name: "verify", id }, () => this.#driver.verify(id, options));
  }

  supportsShifting(): Promise<boolean> {
    return this.#driver.supportsShifting();
  }

  diffGetter(id: string): Promise<DiffGetter> {
    return this.#run({ name: "read", id }, () => this.#driver.diffGetter(id));
  }

  cleanup(): Promise<void> {
    return this.#run({ name: "cleanup" }, () => this.#driver.cleanup());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#driver[Symbol.asyncDispose]();
  }
}

function parentOf({ parent }: { parent?: string | null }): { parent?: string } {
  return typeof parent === "string" ? { parent } : {};
}

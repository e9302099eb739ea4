// SPDX-License-Identifier: Apache-2.0

/**
 * A driver that lives in an agent: every method is a request to it. What it promises, driver.ts says; the agent's errors
 * come back as they were. Archives go through pipes that the agent makes beside its socket.
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
import { asStorageError, isStorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import { parseLayerId } from "../layer_id.ts";
import { absolutePath } from "../util/absolute_path.ts";
import { streamFromFd, writeStreamToFd } from "../util/fd_stream.ts";
import { JoinedSignal } from "../util/joined_signal.ts";
import { PipeWriter } from "../util/named_pipe.ts";
import { isSourceFailure, streamOf } from "../util/pipe_stream.ts";
import { layerFromWire, queryOf, type WireLayer } from "./api_wire.ts";
import { BegunStream } from "./begun_stream.ts";
import { aborted, ClientConnection } from "./client_connection.ts";

/** How an agent is found. */
export interface ConnectOptions {
  /** The socket on which it listens. */
  socket?: string;
}

/** Where an agent listens unless told otherwise. */
export const DEFAULT_SOCKET = "/run/lamina/lamina.sock";

/** What `/v1/info` answers. */
interface AgentInfo {
  driver: DriverName;
  home: string;
  supportsShifting: boolean;
  status: { name: string; value: string }[];
}

/**
 * Connects to an agent (`lamina serve`), whose store is then used like one that was opened. Layers lie on this host:
 * paths that `get` and `getMetadata` tell are the agent's. Disposing it gives back its mounts, and leaves the agent alone.
 *
 * @throws {StorageError} `agent_unreachable`: nobody listens there, or not for this user.
 *
 * @example
 * ```ts ignore
 * import { connect } from "lamina";
 *
 * await using driver = await connect({ socket: "/run/lamina/lamina.sock" });
 * for await (const layer of driver.layers()) console.log(layer.id);
 * ```
 */
export async function connect({ socket = DEFAULT_SOCKET }: ConnectOptions = {}): Promise<GraphDriver> {
  using undo = new DisposableStack();
  const connection = undo.use(new ClientConnection(absolutePath(socket)));
  const { driver, home } = await connection.json<AgentInfo>({ verb: "GET", path: "/v1/health" });
  const remote = new RemoteDriver(connection, driver, home);
  undo.move();
  return remote;
}

class RemoteDriver implements GraphDriver {
  /** Where `get` of this object mounted what `put` did not give back, once for each time. */
  readonly #held = new Map<string, string[]>();
  /** Places of views that this object made. */
  readonly #views = new Set<string>();

  constructor(readonly connection: ClientConnection, readonly name: DriverName, readonly home: string) {}

  create(id: string, options: CreateOptions = {}): Promise<void> {
    return this.#create({ id, ...options });
  }

  createReadWrite(id: string, options: CreateOptions = {}): Promise<void> {
    return this.#create({ id, ...options, readWrite: true });
  }

  createFromTemplate(id: string, template: string, options: CreateOptions = {}): Promise<void> {
    return this.#create({ id, ...options, template });
  }

  async #create(json: Record<string, unknown>): Promise<void> {
    await this.connection.json({ verb: "POST", path: "/v1/layers", json });
  }

  async remove(id: string, { force = false }: RemoveOptions = {}): Promise<void> {
    const query = new URLSearchParams(force ? { force: "true" } : {});
    await this.connection.json({ verb: "DELETE", path: pathOf(id), query });
    this.#held.delete(id);
  }

  async get(id: string, options: GetOptions = {}): Promise<MountedLayer> {
    const { path } = await this.connection.json<{ path: string }>({
      verb: "POST",
      path: pathOf(id, "mount"),
      json: options,
    });
    this.#held.set(id, [...this.#held.get(id) ?? [], path]);
    let isHeld = true;
    const release = async (): Promise<void> => {
      if (!isHeld) return;
      isHeld = false;
      await this.#release(id, path);
    };
    return { id, path, [Symbol.asyncDispose]: release };
  }

  async put(id: string): Promise<void> {
    const path = pathOf(id, "mount");
    this.#forget(id);
    await this.connection.json({ verb: "DELETE", path });
  }

  #forget(id: string): void {
    const held = this.#held.get(id) ?? [];
    if (held.length > 1) held.pop();
    else this.#held.delete(id);
  }

  /** As `put`, but for a layer that was shown as it lies: it has no mount, or one that others made. */
  async #release(id: string, path: string): Promise<void> {
    if ((await this.getMetadata(id)).mergedDir === path) await this.put(id);
    else this.#forget(id);
  }

  async mountAt(target: string, ids: readonly string[], options: ViewOptions = {}): Promise<MountedView> {
    const json = { target: fromRoot(target), ids, ...options };
    const request = { verb: "POST", path: "/v1/views", json } as const;
    const view = await this.connection.json<ViewInfo & { isNew: boolean }>(request);
    if (view.isNew) this.#views.add(view.path);
    let isHeld = view.isNew;
    const release = async (): Promise<void> => {
      if (!isHeld) return;
      isHeld = false;
      await this.unmountAt(view.path);
    };
    return { ...view, [Symbol.asyncDispose]: release };
  }

  async unmountAt(target: string): Promise<boolean> {
    const query = new URLSearchParams({ path: fromRoot(target) });
    const answer = await this.connection.json<{ unmounted: boolean }>({ verb: "DELETE", path: "/v1/views", query });
    if (answer.unmounted) await this.#forgetViews();
    return answer.unmounted;
  }

  /** A view may have been taken down by another name of its place. */
  async #forgetViews(): Promise<void> {
    const paths = new Set((await this.views()).map(({ path }) => path));
    for (const path of this.#views) if (!paths.has(path)) this.#views.delete(path);
  }

  async views(): Promise<ViewInfo[]> {
    return await this.connection.json({ verb: "GET", path: "/v1/views" });
  }

  async sweep(): Promise<string[]> {
    return (await this.connection.json<{ removed: string[] }>({ verb: "POST", path: "/v1/sweep" })).removed;
  }

  async *check({ signal, dockerRoot, ...options }: CheckOptions = {}): AsyncGenerator<Finding> {
    const json = { ...options, ...(dockerRoot === undefined ? {} : { dockerRoot: fromRoot(dockerRoot) }) };
    const work = signal === undefined ? {} : { signal };
    yield* await this.connection.long<Finding[]>({ verb: "POST", path: "/v1/check", json }, work);
  }

  async recordManifest(id: string, options: WorkOptions = {}): Promise<void> {
    await this.connection.long({ verb: "POST", path: pathOf(id, "manifest") }, options);
  }

  async verify(id: string, options: WorkOptions = {}): Promise<ManifestDifference[] | undefined> {
    const request = { verb: "GET", path: pathOf(id, "manifest") } as const;
    const answer = await this.connection.long<{ differences: ManifestDifference[] | null }>(request, options);
    return answer.differences ?? undefined;
  }

  async exists(id: string): Promise<boolean> {
    const answer = await this.connection.json<{ exists: boolean }>({ verb: "GET", path: pathOf(id, "exists") });
    return answer.exists;
  }

  async *layers(): AsyncGenerator<LayerInfo> {
    const layers = await this.connection.json<WireLayer[]>({ verb: "GET", path: "/v1/layers" });
    for (const layer of layers) yield layerFromWire(layer);
  }

  async status(): Promise<StatusEntry[]> {
    const { status } = await this.#info();
    return status.map(({ name, value }) => [name, value] as const);
  }

  async supportsShifting(): Promise<boolean> {
    return (await this.#info()).supportsShifting;
  }

  #info(): Promise<AgentInfo> {
    return this.connection.json({ verb: "GET", path: "/v1/info" });
  }

  async getMetadata(id: string): Promise<LayerMetadata> {
    return await this.connection.json({ verb: "GET", path: pathOf(id, "metadata") });
  }

  async diff(id: string, options: DiffOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const { begun } = await this.#diff(id, options);
    return begun.whole(() => {});
  }

  async diffTo(id: string, output: FileDescriptor, options: DiffOptions = {}): Promise<DiffResult> {
    const { begun, result } = await this.#diff(id, options);
    await writeStreamToFd(begun.whole(() => {}), output.fd);
    return await result;
  }

  /** An archive that has begun: what fails before has failed then. It ends well only if the work at the agent does. */
  async #diff(
    id: string,
    options: DiffOptions,
  ): Promise<{ begun: BegunStream<Uint8Array<ArrayBuffer>>; result: Promise<DiffResult> }> {
    const [path, query] = [pathOf(id, "diff"), queryOf(options)];
    if (options.signal?.aborted) throw aborted();
    const pipe = await this.connection.openPipe((path) => Deno.open(path));
    query.set("pipe", pipe.name);
    const abort = new AbortController();
    const either = new JoinedSignal(abort.signal, options.signal);
    const result = this.connection.long<DiffResult>({ verb: "GET", path, query }, {
      ...options,
      signal: either.signal,
    });
    result.catch(() => {}).finally(() => either[Symbol.dispose]());
    const begun = BegunStream.of(streamOf(pipe.end, result, () => abort.abort()), new AbortController().signal);
    begun.catch(() => {});
    return { begun: await Promise.race([begun, result.then(() => begun)]), result };
  }

  async applyDiff(
    id: string,
    diff: ReadableStream<Uint8Array> | FileDescriptor,
    options: ApplyOptions = {},
  ): Promise<ApplyResult> {
    const [path, query] = [pathOf(id, "diff"), queryOf(options)];
    if (options.signal?.aborted) throw aborted();
    const pipe = await this.connection.openPipe(PipeWriter.open);
    query.set("pipe", pipe.name);
    const stop = new AbortController();
    const archive = diff instanceof ReadableStream ? diff : streamFromFd(diff.fd);
    const fed = archive.pipeTo(pipe.end.writable, stop).then(() => undefined, (error: unknown) => error);
    let result: ApplyResult;
    try {
      result = await this.connection.long({ verb: "PUT", path, query }, options);
    } catch (error) {
      stop.abort();
      const sourceError = await fed;
      // A source that fails ends the archive early; its own error says more than "cut short".
      if (!isStorageError(error, "aborted") && isSourceFailure(sourceError)) {
        throw asStorageError(sourceError, `Cannot apply a diff to layer "${id}"`);
      }
      throw error;
    }
    await fed;
    return result;
  }

  async diffSize(id: string, options: CompareOptions = {}): Promise<number> {
    const request = { verb: "GET", path: pathOf(id, "size"), query: queryOf(options) } as const;
    return (await this.connection.long<{ sizeBytes: number }>(request, options)).sizeBytes;
  }

  async usage({ ids, ...work }: UsageOptions = {}): Promise<DiskUsage> {
    const query = new URLSearchParams(ids === undefined ? {} : { ids: ids.map(parseLayerId).join(",") });
    return await this.connection.long({ verb: "GET", path: "/v1/usage", query }, work);
  }

  async changes(id: string, options: CompareOptions = {}): Promise<Change[]> {
    const request = { verb: "GET", path: pathOf(id, "changes"), query: queryOf(options) } as const;
    return await this.connection.long(request, options);
  }

  async updateLayerIdMap(
    id: string,
    from: IdMaps | undefined,
    to: IdMaps | undefined,
    { mountLabel, ...work }: RemapOptions = {},
  ): Promise<void> {
    const request = { verb: "POST", path: pathOf(id, "owners"), json: { from, to, mountLabel } } as const;
    await this.connection.long(request, work);
  }

  async diffGetter(id: string): Promise<DiffGetter> {
    const path = pathOf(id, "files");
    await this.connection.json({ verb: "GET", path });
    const open = async (unsafePath: string): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> => {
      const query = new URLSearchParams({ path: unsafePath });
      // Deno 2.4 does not say of a body that its memory is not shared.
      return await this.connection.stream({ verb: "GET", path, query }) as ReadableStream<Uint8Array<ArrayBuffer>>;
    };
    return { open, [Symbol.asyncDispose]: (): Promise<void> => Promise.resolve() };
  }

  async cleanup(): Promise<void> {
    await this.connection.json({ verb: "POST", path: "/v1/cleanup" });
    this.#held.clear();
    this.#views.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      for (const path of [...this.#views].reverse()) await this.unmountAt(path);
      for (const [id, paths] of [...this.#held]) {
        for (const path of [...paths]) await this.#release(id, path);
      }
    } finally {
      this.connection[Symbol.dispose]();
    }
  }
}

/** The path of what an agent has of a layer. An id that can be none has no path, and none is asked for. */
function pathOf(id: string, what?: string): string {
  const path = `/v1/layers/${parseLayerId(id)}`;
  return what === undefined ? path : `${path}/${what}`;
}

/** `path` for an agent, whose working directory is another one. What `..` means past a symbolic link, the kernel says. */
function fromRoot(path: string): string {
  return path === "" || path.startsWith("/") ? path : `${Deno.cwd()}/${path}`;
}

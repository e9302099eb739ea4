// SPDX-License-Identifier: Apache-2.0

/**
 * Docker's graph driver plugin protocol, version 1: dockerd 1.13 to 26.1 with `--experimental -s NAME`, and 27 with
 * `DOCKERD_DEPRECATED_GRAPHDRIVER_PLUGINS=1` in its environment, keep their layers in lamina by it.
 *
 * What dockerd does not keep to: its Host is empty; a request whose connection broke it sends again without a body; it says
 * `Init` several times, and not to an agent that started again; it puts back layers that it never got, after it was killed
 * itself; it does not escape what is in a query; while a diff streams, it applies it. So nothing here is a surprise.
 *
 * @module
 */

import type { GraphDriver } from "../drivers/driver.ts";
import { isStorageError, StorageError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { VERSION } from "../version.ts";
import { BegunStream, discard } from "./begun_stream.ts";
import { DockerHomes, type OpenHome } from "./docker_home.ts";
import {
  type Answer,
  changesOnWire,
  metadataOnWire,
  readCreate,
  readGet,
  readInit,
  readParent,
  readQuery,
} from "./docker_wire.ts";
import { failureOf, readJsonObject, RequestError, requiredField, type UnsafeFields } from "./protocol.ts";
import type { Face } from "./server.ts";
import type { WorkQueues } from "./work_queue.ts";

/** What a plugin is made of. */
export interface DockerPluginOptions {
  /** As dockerd's `-s` has it. */
  name: string;
  /** Where it listens: dockerd looks for `/run/docker/plugins/NAME.sock`. */
  socket: string;
  /** Where what Init said outlives this process. */
  stateFile: string;
  /** Opens a driver on the home that dockerd names. */
  open: OpenHome;
  /** Where its long jobs wait. */
  queues: WorkQueues;
  logger: Logger;
}

/** A request on its way through. */
interface Call {
  fields: UnsafeFields;
  /** Ends work that nobody waits for. Asked for by long work only: Deno then watches the connection. */
  signal(): AbortSignal;
}

/** An apply that can be given up. */
interface RunningApply {
  cancel(): void;
  /** Never rejects. */
  over: Promise<void>;
}

// Neither is a type that Deno would compress.
const JSON_TYPE = "application/vnd.docker.plugins.v1.2+json";
const TAR_TYPE = "application/octet-stream";

/** The plugin. */
export class DockerPlugin implements Face {
  readonly name: string;
  readonly socket: string;
  readonly #homes: DockerHomes;
  readonly #logger: Logger;
  readonly #queues: WorkQueues;
  /** Applies at work, by layer. */
  readonly #applies = new Map<string, RunningApply>();

  constructor({ name, socket, stateFile, open, queues, logger }: DockerPluginOptions) {
    this.name = `graph driver plugin "${name}"`;
    this.socket = socket;
    this.#homes = new DockerHomes(stateFile, open);
    this.#logger = logger;
    this.#queues = queues;
  }

  async answer(request: Request, end: AbortSignal): Promise<Response> {
    const signal = (): AbortSignal => signalOf(request, end);
    let method = "";
    try {
      const url = URL.parse(request.url);
      if (url === null) throw new RequestError("malformed_request", "The request's address cannot be read");
      method = url.pathname.slice(1);
      switch (method) {
        case "Plugin.Activate":
          requirePost(request);
          return jsonResponse({ Implements: ["GraphDriver"] });
        case "GraphDriver.Diff":
          requirePost(request);
          return await this.#diff({ fields: await readJsonObject(request, end), signal });
        case "GraphDriver.ApplyDiff":
          requirePost(request);
          return jsonResponse(await this.#applyDiff({ fields: readQuery(url.search), signal }, request.body));
        default:
          return jsonResponse(await this.#call(method, request, end));
      }
    } catch (error) {
      // A connection that closes while its client still sends may lose the answer.
      if (request.body !== null && !request.bodyUsed) await discard(request.body.getReader(), signal());
      return this.#failed(method, error);
    }
  }

  #failed(method: string, error: unknown): Response {
    const { status, code, hint, ...failure } = failureOf(error, `Cannot carry out ${method}`);
    const message = hint === undefined ? failure.message : `${failure.message} (${hint})`;
    if (status >= 500) this.#logger.warn(`${method}: ${message}`);
    else this.#logger.debug(`${method}: ${message}`);
    return jsonResponse({ Err: message, Code: code }, status);
  }

  async #call(method: string, request: Request, end: AbortSignal): Promise<Answer> {
    const methods = this.#methods;
    if (!Object.hasOwn(methods, method)) {
      throw new RequestError("unknown_method", `There is no method ${JSON.stringify(method)}`);
    }
    requirePost(request);
    return await methods[method]!({ fields: await readJsonObject(request, end), signal: () => signalOf(request, end) });
  }

  /** What takes JSON and answers JSON. */
  readonly #methods: Readonly<Record<string, (call: Call) => Promise<Answer>>> = {
    "GraphDriver.Init": ({ fields }) => this.#init(fields),
    // False: dockerd then rebuilds the exact archive of an image itself, from what it noted when it came in.
    "GraphDriver.Capabilities": () => Promise.resolve({ Capabilities: { ReproducesExactDiffs: false } }),
    "GraphDriver.Create": ({ fields }) => this.#create(fields, false),
    "GraphDriver.CreateReadWrite": ({ fields }) => this.#create(fields, true),
    "GraphDriver.Remove": (call) => this.#remove(call),
    "GraphDriver.Get": ({ fields }) => this.#get(fields),
    "GraphDriver.Put": ({ fields }) => this.#put(fields),
    "GraphDriver.Exists": ({ fields }) => this.#exists(fields),
    "GraphDriver.Status": () => this.#status(),
    "GraphDriver.GetMetadata": ({ fields }) => this.#getMetadata(fields),
    "GraphDriver.Cleanup": () => this.#cleanup(),
    "GraphDriver.Changes": (call) => this.#changes(call),
    "GraphDriver.DiffSize": (call) => this.#diffSize(call),
  };

  async #init(fields: UnsafeFields): Promise<Answer> {
    const request = readInit(fields);
    await this.#homes.init(request);
    this.#logger.info(`dockerd keeps its layers in ${request.home}`);
    return {};
  }

  async #create(fields: UnsafeFields, isReadWrite: boolean): Promise<Answer> {
    const id = requiredField(fields, "ID");
    const options = readCreate(fields);
    const { driver } = await this.#homes.current();
    try {
      await (isReadWrite ? driver.createReadWrite(id, options) : driver.create(id, options));
    } catch (error) {
      // Said twice, perhaps because the first answer got lost.
      const isRepeated = isStorageError(error, "layer_exists") && options.storageOptions === undefined &&
        await isEmptyLayerOn(driver, id, options.parent);
      if (!isRepeated) throw error;
    }
    return {};
  }

  async #remove({ fields, signal: watch }: Call): Promise<Answer> {
    const [id, signal] = [requiredField(fields, "ID"), watch()];
    const { driver } = await this.#homes.current();
    // dockerd has given up an apply to a layer that it removes, whether we have noticed or not.
    const apply = this.#applies.get(id);
    apply?.cancel();
    await apply?.over;
    using _turn = await this.#queues.removals.enter(signal);
    // As Docker's own drivers do: a mount that a killed dockerd left behind must not keep its layer for ever.
    await driver.remove(id, { force: true });
    return {};
  }

  async #get(fields: UnsafeFields): Promise<Answer> {
    const id = requiredField(fields, "ID");
    const home = await this.#homes.current();
    const { path } = await home.driver.get(id, readGet(fields));
    home.noteGet(id);
    return { Dir: path };
  }

  async #put(fields: UnsafeFields): Promise<Answer> {
    const id = requiredField(fields, "ID");
    const home = await this.#homes.current();
    await home.driver.put(id);
    home.notePut(id);
    return {};
  }

  async #exists(fields: UnsafeFields): Promise<Answer> {
    const { driver } = await this.#homes.current();
    return { Exists: await driver.exists(requiredField(fields, "ID")) };
  }

  async #status(): Promise<Answer> {
    const { driver } = await this.#homes.current();
    return { Status: [["lamina", VERSION], ["Driver", driver.name], ...await driver.status()] };
  }

  async #getMetadata(fields: UnsafeFields): Promise<Answer> {
    const { driver } = await this.#homes.current();
    return metadataOnWire(await driver.getMetadata(requiredField(fields, "ID")));
  }

  async #cleanup(): Promise<Answer> {
    const home = await this.#homes.current();
    await home.driver.cleanup();
    home.noteCleanup();
    return {};
  }

  async #changes({ fields, signal: watch }: Call): Promise<Answer> {
    const [id, signal] = [requiredField(fields, "ID"), watch()];
    const { driver } = await this.#homes.current();
    using _turn = await this.#queues.others.enter(signal);
    return changesOnWire(await driver.changes(id, { parent: readParent(fields), signal }));
  }

  async #diffSize({ fields, signal: watch }: Call): Promise<Answer> {
    const [id, signal] = [requiredField(fields, "ID"), watch()];
    const { driver } = await this.#homes.current();
    using _turn = await this.#queues.others.enter(signal);
    return { Size: await driver.diffSize(id, { parent: readParent(fields), signal }) };
  }

  /** Fails before the first byte, or else by breaking the connection: dockerd would take any answer for an archive. */
  async #diff({ fields, signal: watch }: Call): Promise<Response> {
    const [id, signal] = [requiredField(fields, "ID"), watch()];
    const { driver } = await this.#homes.current();
    const turn = await this.#queues.diffs.enter(signal);
    try {
      // Whole seconds are what Docker's own archives have.
      const diff = await driver.diff(id, { parent: readParent(fields), times: "seconds", signal });
      const begun = await BegunStream.of(diff, signal);
      return new Response(begun.whole(() => turn[Symbol.dispose]()), { headers: { "content-type": TAR_TYPE } });
    } catch (error) {
      turn[Symbol.dispose]();
      throw error;
    }
  }

  async #applyDiff({ fields, signal: watch }: Call, body: Request["body"]): Promise<Answer> {
    const [id, signal] = [requiredField(fields, "id"), watch()];
    const parent = fields["parent"] === undefined || fields["parent"] === "" ? null : requiredField(fields, "parent");
    const { driver } = await this.#homes.current();
    const archive = body === null ? undefined : await BegunStream.of(body, signal);
    if (archive === undefined || archive.isEmpty) {
      throw new StorageError("invalid_archive", `Cannot apply a diff to layer "${id}": there is no archive`);
    }
    const gaveUp = new AbortController();
    const either = AbortSignal.any([signal, gaveUp.signal]);
    try {
      using _turn = await this.#queues.others.enter(either);
      const { sizeBytes } = await this.#applying(
        id,
        () => gaveUp.abort(),
        () => driver.applyDiff(id, archive.wholeKeepingRest(), { parent, signal: either }),
      );
      return { Size: sizeBytes };
    } finally {
      // Who still writes would not read the answer.
      await archive.discardRest(either);
    }
  }

  async #applying<T>(id: string, cancel: () => void, apply: () => Promise<T>): Promise<T> {
    // The driver refuses a second apply to the same layer: the first is the one to be known here.
    if (this.#applies.has(id)) return await apply();
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    this.#applies.set(id, { cancel, over });
    try {
      return await apply();
    } finally {
      this.#applies.delete(id);
      end();
    }
  }
}

function jsonResponse(answer: Answer, status = 200): Response {
  return Response.json(answer, { status, headers: { "content-type": JSON_TYPE } });
}

/** Ends the work for a request: its client went away, or the agent can wait no longer. */
function signalOf(request: Request, end: AbortSignal): AbortSignal {
  return AbortSignal.any([end, request.signal]);
}

function requirePost({ method }: Request): void {
  if (method !== "POST") throw new RequestError("wrong_verb", `The method is called by POST, not by ${method}`);
}

/** Whether the layer is as `create` left it. */
async function isEmptyLayerOn(driver: GraphDriver, id: string, parent: string | undefined): Promise<boolean> {
  for await (const layer of driver.layers()) {
    if (layer.id === id) return layer.parent === parent && (await driver.changes(id)).length === 0;
  }
  return false;
}

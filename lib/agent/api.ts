// SPDX-License-Identifier: Apache-2.0

/**
 * lamina's own API: a driver's methods over HTTP, beside what an operator wants to know. `/v1/openapi.json` describes it.
 * Every answer that is no archive and no list of metrics is JSON; every failure is `{code, message, hint}`, with the codes
 * of lib/errors.ts and protocol.ts.
 *
 * @module
 */

import type { ApplyOptions, ApplyResult, DiffOptions, DiffResult, GraphDriver } from "../drivers/driver.ts";
import { StorageError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { untilReadable } from "../util/named_pipe.ts";
import { streamWrittenBy } from "../util/pipe_stream.ts";
import { VERSION } from "../version.ts";
import { bodyOf, type Call, patternOf, queryFields } from "./api_call.ts";
import {
  JOB_HEADER,
  layerOnWire,
  readApply,
  readCompare,
  readCreate,
  readDiff,
  readGet,
  readIdMaps,
} from "./api_wire.ts";
import { ArchivePipes } from "./archive_pipes.ts";
import { BegunStream } from "./begun_stream.ts";
import { type Job, type JobKind, Jobs } from "./jobs.ts";
import type { Observation } from "./observation.ts";
import { openapi } from "./openapi.ts";
import { failureOf, RequestError } from "./protocol.ts";
import type { Face } from "./server.ts";
import type { WorkQueues } from "./work_queue.ts";

/** What the API is made of. */
export interface StoreApiOptions {
  /** Where it listens, and beside which it makes pipes. */
  socket: string;
  /** Opens the store, observed; called at the first request that needs it, and again where that failed. */
  open(): Promise<GraphDriver>;
  /** Where long jobs wait for their turn. */
  queues: WorkQueues;
  observation: Observation;
  logger: Logger;
}

type Verb = "GET" | "POST" | "PUT" | "DELETE";
type Handler = (call: Call) => Promise<Response>;

/** How long who is refused may go on sending his archive, so that he comes to read why. */
const REFUSED_UPLOAD_MS = 1_000;

const JSON_LINES_TYPE = "application/x-ndjson";
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
// No type that Deno would compress.
const TAR_TYPE = "application/octet-stream";

/** The API. */
export class StoreApi implements Face {
  readonly name = "lamina's API";
  readonly socket: string;
  readonly #openStore: () => Promise<GraphDriver>;
  readonly #queues: WorkQueues;
  readonly #observation: Observation;
  readonly #logger: Logger;
  readonly #jobs = new Jobs();
  readonly #pipes: ArchivePipes;
  #store: Promise<GraphDriver> | undefined;

  constructor({ socket, open, queues, observation, logger }: StoreApiOptions) {
    this.socket = socket;
    this.#pipes = new ArchivePipes(socket);
    this.#openStore = open;
    this.#queues = queues;
    this.#observation = observation;
    this.#logger = logger;
  }

  async answer(request: Request, end: AbortSignal): Promise<Response> {
    let what = request.method;
    try {
      const url = URL.parse(request.url);
      if (url === null) throw new RequestError("malformed_request", "The request's address cannot be read");
      what = `${request.method} ${url.pathname}`;
      const { pattern, word } = patternOf(url.pathname);
      const signal = (): AbortSignal => AbortSignal.any([end, request.signal]);
      return await this.#handlerOf(pattern, request.method)({ request, word, query: url.searchParams, signal });
    } catch (error) {
      return this.#failed(what, error);
    }
  }

  leave(): void {
    this.#observation.events.close();
    this.#pipes.close();
  }

  /** Methods by path and verb. */
  readonly routes: Readonly<Record<string, Partial<Record<Verb, Handler>>>> = {
    "/metrics": { GET: () => this.#metrics() },
    "/v1/cleanup": { POST: () => this.#cleanup() },
    "/v1/events": { GET: () => Promise.resolve(this.#events()) },
    "/v1/health": { GET: () => this.#health() },
    "/v1/info": { GET: () => this.#info() },
    "/v1/jobs": { GET: () => Promise.resolve(Response.json(this.#jobs.reports())) },
    "/v1/jobs/{name}": { GET: (call) => this.#job(call), DELETE: (call) => this.#cancel(call) },
    "/v1/layers": { GET: () => this.#layers(), POST: (call) => this.#create(call) },
    "/v1/layers/{id}": { GET: (call) => this.#inspect(call), DELETE: (call) => this.#remove(call) },
    "/v1/layers/{id}/changes": { GET: (call) => this.#changes(call) },
    "/v1/layers/{id}/diff": { GET: (call) => this.#diff(call), PUT: (call) => this.#apply(call) },
    "/v1/layers/{id}/exists": { GET: (call) => this.#exists(call) },
    "/v1/layers/{id}/files": { GET: (call) => this.#files(call) },
    "/v1/layers/{id}/metadata": { GET: (call) => this.#metadata(call) },
    "/v1/layers/{id}/mount": { POST: (call) => this.#mount(call), DELETE: (call) => this.#unmount(call) },
    "/v1/layers/{id}/owners": { POST: (call) => this.#remap(call) },
    "/v1/layers/{id}/size": { GET: (call) => this.#size(call) },
    "/v1/mounts": { GET: () => this.#mounts() },
    "/v1/pipes": { POST: () => Promise.resolve(Response.json(this.#pipes.make(), { status: 201 })) },
    "/v1/openapi.json": { GET: () => Promise.resolve(Response.json(openapi(VERSION))) },
  };

  #handlerOf(pattern: string, verb: string): Handler {
    const verbs = Object.hasOwn(this.routes, pattern) ? this.routes[pattern]! : undefined;
    if (verbs === undefined) {
      throw new RequestError("unknown_method", `There is nothing at ${JSON.stringify(pattern)}`);
    }
    if (!Object.hasOwn(verbs, verb)) {
      throw new RequestError("wrong_verb", `${pattern} takes ${Object.keys(verbs).join(" and ")}, not ${verb}`);
    }
    return verbs[verb as Verb]!;
  }

  #failed(what: string, error: unknown): Response {
    const { status, ...failure } = failureOf(error, `Cannot carry out ${what}`);
    if (status >= 500) this.#logger.warn(`${what}: ${failure.message}`);
    else this.#logger.debug(`${what}: ${failure.message}`);
    return Response.json(failure, { status });
  }

  #driver(): Promise<GraphDriver> {
    return this.#store ??= this.#openStore().catch((error: unknown) => {
      this.#store = undefined;
      throw error;
    });
  }

  async #health(): Promise<Response> {
    const { name, home } = await this.#driver();
    return Response.json({ status: "ok", version: VERSION, driver: name, home });
  }

  async #info(): Promise<Response> {
    const driver = await this.#driver();
    const status = (await driver.status()).map(([name, value]) => ({ name, value }));
    const supportsShifting = await driver.supportsShifting();
    return Response.json({ version: VERSION, driver: driver.name, home: driver.home, supportsShifting, status });
  }

  async #metrics(): Promise<Response> {
    const text = await this.#observation.metrics(this.#queues);
    return new Response(text, { headers: { "content-type": METRICS_TYPE } });
  }

  #events(): Response {
    return new Response(this.#observation.events.listen(), { headers: { "content-type": JSON_LINES_TYPE } });
  }

  #job({ word }: Call): Promise<Response> {
    return Promise.resolve(Response.json(this.#jobs.get(word).report));
  }

  async #cancel({ word }: Call): Promise<Response> {
    const job = this.#jobs.get(word);
    await job.cancel();
    return Response.json(job.report);
  }

  async #layers(): Promise<Response> {
    const driver = await this.#driver();
    return Response.json((await Array.fromAsync(driver.layers())).map(layerOnWire));
  }

  async #create({ request }: Call): Promise<Response> {
    const { id, use, template, options } = await bodyOf(request, readCreate);
    const driver = await this.#driver();
    if (template !== undefined) await driver.createFromTemplate(id, template, options);
    else if (use === "container") await driver.createReadWrite(id, options);
    else await driver.create(id, options);
    return Response.json({ id }, { status: 201 });
  }

  async #inspect({ word: id }: Call): Promise<Response> {
    const driver = await this.#driver();
    const metadata = await driver.getMetadata(id);
    for await (const layer of driver.layers()) {
      if (layer.id === id) return Response.json({ ...layerOnWire(layer), ...metadata });
    }
    throw new StorageError("layer_not_found", `Cannot inspect layer ${JSON.stringify(id)}: there is no such layer`);
  }

  async #remove({ word: id, query }: Call): Promise<Response> {
    const force = queryFields(query, (fields) => fields.flag("force")) ?? false;
    await (await this.#driver()).remove(id, { force });
    return Response.json({ id });
  }

  async #exists({ word: id }: Call): Promise<Response> {
    return Response.json({ id, exists: await (await this.#driver()).exists(id) });
  }

  async #metadata({ word: id }: Call): Promise<Response> {
    return Response.json(await (await this.#driver()).getMetadata(id));
  }

  async #mount({ request, word: id }: Call): Promise<Response> {
    const options = await bodyOf(request, readGet);
    const { path } = await (await this.#driver()).get(id, options);
    return Response.json({ id, path });
  }

  async #unmount({ word: id }: Call): Promise<Response> {
    await (await this.#driver()).put(id);
    return Response.json({ id });
  }

  async #mounts(): Promise<Response> {
    const driver = await this.#driver();
    const mounts: { id: string; path: string }[] = [];
    for await (const { id, mounted } of driver.layers()) {
      if (mounted) mounts.push({ id, path: (await driver.getMetadata(id)).mergedDir });
    }
    return Response.json(mounts);
  }

  async #cleanup(): Promise<Response> {
    await (await this.#driver()).cleanup();
    return Response.json({});
  }

  /** One file of a layer; without a path, whether files can be read. */
  async #files({ word: id, query }: Call): Promise<Response> {
    const path = queryFields(query, (fields) => fields.text("path"));
    await using files = await (await this.#driver()).diffGetter(id);
    if (path === undefined) return Response.json({ id });
    return new Response(await files.open(path), { headers: { "content-type": TAR_TYPE } });
  }

  async #changes(call: Call): Promise<Response> {
    const options = queryFields(call.query, readCompare);
    const driver = await this.#driver();
    const job = this.#begin(call, "changes");
    const work = job.run(this.#queues.others, (control) => driver.changes(call.word, { ...options, ...control }));
    return Response.json(await job.conclude(work));
  }

  async #size(call: Call): Promise<Response> {
    const options = queryFields(call.query, readCompare);
    const driver = await this.#driver();
    const job = this.#begin(call, "size");
    const work = job.run(this.#queues.others, (control) => driver.diffSize(call.word, { ...options, ...control }));
    return Response.json({ id: call.word, sizeBytes: await job.conclude(work) });
  }

  async #remap(call: Call): Promise<Response> {
    const { from, to, options } = await bodyOf(call.request, (fields) => {
      const mountLabel = fields.text("mountLabel");
      const options = mountLabel === undefined ? {} : { mountLabel };
      return { from: readIdMaps(fields, "from"), to: readIdMaps(fields, "to"), options };
    });
    const driver = await this.#driver();
    const job = this.#begin(call, "remap");
    await job.conclude(job.run(
      this.#queues.others,
      (control) => driver.updateLayerIdMap(call.word, from, to, { ...options, ...control }),
    ));
    return Response.json({ id: call.word });
  }

  async #diff(call: Call): Promise<Response> {
    const pipe = call.query.get("pipe");
    if (pipe === null) return await this.#diffAsBody(call, queryFields(call.query, readDiff));
    using output = this.#pipes.open(pipe, "write");
    call.query.delete("pipe");
    const options = queryFields(call.query, readDiff);
    const driver = await this.#driver();
    const job = this.#begin(call, "diff");
    const work = job.run(this.#queues.diffs, (control) => driver.diffTo(call.word, output, { ...options, ...control }));
    return Response.json(await job.conclude(work));
  }

  /** Fails before the first byte, or else by breaking the connection; the job tells why. */
  async #diffAsBody(call: Call, options: DiffOptions): Promise<Response> {
    const driver = await this.#driver();
    const job = this.#begin(call, "diff");
    const begun = Promise.withResolvers<BegunStream>();
    const work = async (): Promise<DiffResult> =>
      await job.run(this.#queues.diffs, async ({ onProgress, signal }) => {
        const { stream, result } = await streamWrittenBy(
          (fd, signal) => driver.diffTo(call.word, { fd }, { ...options, onProgress, signal }),
          signal,
        );
        begun.resolve(BegunStream.of(stream));
        return await result;
      });
    job.conclude(work()).catch(begun.reject);
    const archive = await begun.promise;
    return new Response(archive.whole(() => {}), { headers: { "content-type": TAR_TYPE } });
  }

  /** The turn is taken when the first bytes are there: see work_queue.ts. */
  async #apply(call: Call): Promise<Response> {
    const pipe = call.query.get("pipe");
    if (pipe === null) return await this.#applyBody(call, queryFields(call.query, readApply));
    using input = this.#pipes.open(pipe, "read");
    call.query.delete("pipe");
    const options = queryFields(call.query, readApply);
    const driver = await this.#driver();
    const job = this.#begin(call, "apply");
    const work = async (): Promise<ApplyResult> => {
      await untilReadable(input.fd, job.signal);
      return await job.run(
        this.#queues.others,
        (control) => driver.applyDiff(call.word, input, { ...options, ...control }),
      );
    };
    return Response.json(await job.conclude(work()));
  }

  async #applyBody(call: Call, options: ApplyOptions): Promise<Response> {
    const { request: { body }, word: id } = call;
    const driver = await this.#driver();
    const job = this.#begin(call, "apply");
    const work = async (): Promise<ApplyResult> => {
      const archive = body === null ? undefined : await unlessAborted(BegunStream.of(body), job.signal);
      if (archive === undefined || archive.isEmpty) {
        throw new StorageError("invalid_archive", `Cannot apply a diff to layer "${id}": there is no archive`);
      }
      try {
        return await job.run(
          this.#queues.others,
          (control) => driver.applyDiff(id, archive.wholeKeepingRest(), { ...options, ...control }),
        );
      } finally {
        await archive.discardRest(AbortSignal.any([job.signal, AbortSignal.timeout(REFUSED_UPLOAD_MS)]));
      }
    };
    return Response.json(await job.conclude(work()));
  }

  #begin({ request, word, signal }: Call, kind: JobKind): Job {
    return this.#jobs.begin(request.headers.get(JOB_HEADER), kind, word, signal());
  }
}

/** What `promise` gives, or `aborted` when the signal comes first. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(new StorageError("aborted", "The operation was aborted"));
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * lamina's own API: a driver's methods over HTTP, beside what an operator wants to know. `/v1/openapi.json` describes it.
 * Every answer that is no archive and no list of metrics is JSON; every failure is `{code, message, hint}`, with the codes
 * of lib/errors.ts and protocol.ts.
 *
 * @module
 */

import type { Change, DiskUsage, GraphDriver, WorkOptions } from "../drivers/driver.ts";
import { StorageError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { VERSION } from "../version.ts";
import { bodyOf, type Call, patternOf, queryFields } from "./api_call.ts";
import {
  JOB_HEADER,
  layerOnWire,
  readCheck,
  readCompare,
  readCreate,
  readGet,
  readRemap,
  readUsage,
  readView,
} from "./api_wire.ts";
import { answerApply, answerDiff, type ArchiveStore, TAR_TYPE } from "./api_archives.ts";
import { ArchivePipes } from "./archive_pipes.ts";
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
type Work<T> = (driver: GraphDriver, control: Required<WorkOptions>) => Promise<T>;
type Handler = (call: Call) => Promise<Response>;

const JSON_LINES_TYPE = "application/x-ndjson";
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** The API. */
export class StoreApi implements Face {
  readonly name = "lamina's API";
  readonly socket: string;
  readonly #openStore: () => Promise<GraphDriver>;
  readonly #queues: WorkQueues;
  readonly #observation: Observation;
  readonly #logger: Logger;
  readonly #jobs = new Jobs();
  readonly #archives: ArchiveStore;
  #store: Promise<GraphDriver> | undefined;

  constructor({ socket, open, queues, observation, logger }: StoreApiOptions) {
    this.socket = socket;
    this.#archives = {
      pipes: new ArchivePipes(socket),
      queues,
      driver: () => this.#driver(),
      begin: (call, kind) => this.#begin(call, kind),
    };
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
      const signals = (): AbortSignal[] => [end, request.signal];
      return await this.#handlerOf(pattern, request.method)({
        request,
        word,
        query: url.searchParams,
        end,
        signals,
      });
    } catch (error) {
      return this.#failed(what, error);
    }
  }

  leave(): void {
    this.#observation.events.close();
    this.#archives.pipes.close();
  }

  /** Methods by path and verb. */
  readonly routes: Readonly<Record<string, Partial<Record<Verb, Handler>>>> = {
    "/metrics": { GET: () => this.#metrics() },
    "/v1/check": { POST: (call) => this.#check(call) },
    "/v1/cleanup": { POST: () => this.#cleanup() },
    "/v1/events": { GET: () => Promise.resolve(this.#events()) },
    "/v1/health": { GET: () => this.#health() },
    "/v1/info": { GET: () => this.#info() },
    "/v1/jobs": { GET: () => Promise.resolve(Response.json(this.#jobs.reports())) },
    "/v1/jobs/{name}": { GET: (call) => this.#job(call), DELETE: (call) => this.#cancel(call) },
    "/v1/layers": { GET: () => this.#layers(), POST: (call) => this.#create(call) },
    "/v1/layers/{id}": { GET: (call) => this.#inspect(call), DELETE: (call) => this.#remove(call) },
    "/v1/layers/{id}/changes": { GET: (call) => this.#changes(call) },
    "/v1/layers/{id}/diff": {
      GET: (call) => answerDiff(call, this.#archives),
      PUT: (call) => answerApply(call, this.#archives),
    },
    "/v1/layers/{id}/exists": { GET: (call) => this.#exists(call) },
    "/v1/layers/{id}/files": { GET: (call) => this.#files(call) },
    "/v1/layers/{id}/manifest": { GET: (call) => this.#verify(call), POST: (call) => this.#recordManifest(call) },
    "/v1/layers/{id}/metadata": { GET: (call) => this.#metadata(call) },
    "/v1/layers/{id}/mount": { POST: (call) => this.#mount(call), DELETE: (call) => this.#unmount(call) },
    "/v1/layers/{id}/owners": { POST: (call) => this.#remap(call) },
    "/v1/layers/{id}/size": { GET: (call) => this.#size(call) },
    "/v1/mounts": { GET: () => this.#mounts() },
    "/v1/pipes": { POST: () => Promise.resolve(Response.json(this.#archives.pipes.make(), { status: 201 })) },
    "/v1/openapi.json": { GET: () => Promise.resolve(Response.json(openapi(VERSION))) },
    "/v1/sweep": { POST: () => this.#sweep() },
    "/v1/usage": { GET: (call) => this.#usage(call) },
    "/v1/views": {
      GET: () => this.#views(),
      POST: (call) => this.#makeView(call),
      DELETE: (call) => this.#removeView(call),
    },
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

  async #create(call: Call): Promise<Response> {
    const { id, use, template, options } = await bodyOf(call, readCreate);
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

  async #remove({ word: id, query, end }: Call): Promise<Response> {
    const force = queryFields(query, (fields) => fields.flag("force")) ?? false;
    const driver = await this.#driver();
    using _turn = await this.#queues.removals.enter(end);
    await driver.remove(id, { force });
    return Response.json({ id });
  }

  async #exists({ word: id }: Call): Promise<Response> {
    return Response.json({ id, exists: await (await this.#driver()).exists(id) });
  }

  async #metadata({ word: id }: Call): Promise<Response> {
    return Response.json(await (await this.#driver()).getMetadata(id));
  }

  async #mount(call: Call): Promise<Response> {
    const id = call.word;
    const options = await bodyOf(call, readGet);
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

  async #views(): Promise<Response> {
    return Response.json(await (await this.#driver()).views());
  }

  async #makeView(call: Call): Promise<Response> {
    const { target, ids, options } = await bodyOf(call, readView);
    const { path, ids: shown, readOnly, isNew } = await (await this.#driver()).mountAt(target, ids, options);
    return Response.json({ path, ids: shown, readOnly, isNew });
  }

  async #removeView({ query }: Call): Promise<Response> {
    const path = queryFields(query, (fields) => fields.required("path"));
    return Response.json({ unmounted: await (await this.#driver()).unmountAt(path) });
  }

  async #sweep(): Promise<Response> {
    return Response.json({ removed: await (await this.#driver()).sweep() });
  }

  async #check(call: Call): Promise<Response> {
    const options = await bodyOf(call, readCheck);
    const all = this.#asJob(
      call,
      "check",
      (driver, { signal }) => Array.fromAsync(driver.check({ ...options, signal })),
    );
    return Response.json(await all);
  }

  async #recordManifest(call: Call): Promise<Response> {
    await this.#asJob(call, "verify", (driver, control) => driver.recordManifest(call.word, control));
    return Response.json({ id: call.word });
  }

  async #verify(call: Call): Promise<Response> {
    const differences = await this.#asJob(call, "verify", (driver, control) => driver.verify(call.word, control));
    return Response.json({ id: call.word, differences: differences ?? null });
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
    const work: Work<Change[]> = (driver, control) => driver.changes(call.word, { ...options, ...control });
    return Response.json(await this.#asJob(call, "changes", work));
  }

  async #size(call: Call): Promise<Response> {
    const options = queryFields(call.query, readCompare);
    const work: Work<number> = (driver, control) => driver.diffSize(call.word, { ...options, ...control });
    return Response.json({ id: call.word, sizeBytes: await this.#asJob(call, "size", work) });
  }

  async #usage(call: Call): Promise<Response> {
    const options = queryFields(call.query, readUsage);
    const work: Work<DiskUsage> = (driver, control) => driver.usage({ ...options, ...control });
    return Response.json(await this.#asJob(call, "usage", work));
  }

  async #remap(call: Call): Promise<Response> {
    const { from, to, options } = await bodyOf(call, readRemap);
    const work: Work<void> = (driver, control) =>
      driver.updateLayerIdMap(call.word, from, to, { ...options, ...control });
    await this.#asJob(call, "remap", work);
    return Response.json({ id: call.word });
  }

  async #asJob<T>(call: Call, kind: JobKind, work: Work<T>): Promise<T> {
    const driver = await this.#driver();
    const job = this.#begin(call, kind);
    return await job.conclude(job.run(this.#queues.others, (control) => work(driver, control)));
  }

  #begin({ request, word, signals }: Call, kind: JobKind): Job {
    return this.#jobs.begin(request.headers.get(JOB_HEADER), kind, word, signals());
  }
}

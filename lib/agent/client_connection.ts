// SPDX-License-Identifier: Apache-2.0

/**
 * Requests to an agent, and what becomes of them: answers, or the errors that the agent's driver threw.
 *
 * @module
 */

import type { WorkOptions } from "../drivers/driver.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { JOB_HEADER } from "./api_wire.ts";
import { isErrorCode } from "./http_status.ts";
import type { JobReport } from "./jobs.ts";

/** What is asked. */
export interface ClientRequest {
  verb: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  query?: URLSearchParams;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is. */
  archive?: ReadableStream<Uint8Array>;
}

/** How often a job is asked how far it is. */
const PROGRESS_MS = 200;

/** A socket on which an agent listens. */
export class ClientConnection implements Disposable {
  readonly #client: Deno.HttpClient;

  constructor(readonly socket: string) {
    this.#client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  /** The answer's JSON. */
  async json<T>(request: ClientRequest): Promise<T> {
    const response = await this.send(request);
    try {
      return await response.json() as T;
    } catch (error) {
      throw this.unreachable(error);
    }
  }

  /**
   * Sends a request, and waits for the head of the answer.
   *
   * @throws {StorageError} What the agent answered, or `agent_unreachable`.
   */
  async send(
    { verb, path, query, json, archive }: ClientRequest,
    headers: Record<string, string> = {},
    signal?: AbortSignal,
  ): Promise<Response> {
    const search = query === undefined || query.size === 0 ? "" : `?${query}`;
    const source = archive === undefined ? undefined : new Source(archive);
    const body = source?.stream ?? (json === undefined ? undefined : JSON.stringify(json));
    let response: Response;
    try {
      response = await fetch(`http://lamina${path}${search}`, {
        client: this.#client,
        method: verb,
        headers,
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (source?.failure !== undefined) throw asStorageError(source.failure.error, "Cannot read the archive");
      if (signal?.aborted) throw aborted();
      throw this.unreachable(error);
    } finally {
      source?.end();
    }
    if (response.ok) return response;
    throw receivedError(await response.json().catch(() => ({})) as unknown);
  }

  /** The error for an agent that is not there, or has gone. */
  unreachable(cause: unknown): StorageError {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new StorageError("agent_unreachable", `Cannot reach an agent on ${this.socket}: ${reason}`, {
      cause,
      hint: "start one with `lamina serve`; its socket is for its owner alone",
    });
  }

  /**
   * Sends a request for long work, and has `use` do with the answer what has to be done before the work is over. The
   * signal ends the work at the agent, which then has cleared everything away when this rejects.
   */
  async long<T>(
    request: ClientRequest,
    { signal, onProgress }: WorkOptions,
    use: (response: Response, job: RunningJob) => Promise<T>,
  ): Promise<T> {
    if (signal?.aborted) throw aborted();
    const job = new RunningJob(this, crypto.randomUUID());
    const giveUp = new AbortController();
    const stop = (): void => void job.cancel().catch(() => giveUp.abort());
    signal?.addEventListener("abort", stop, { once: true });
    const timer = onProgress && setInterval(() => {
      job.report().then(({ entries, bytes }) => onProgress({ entries, bytes }), () => {});
    }, PROGRESS_MS);
    try {
      return await use(await this.send(request, { [JOB_HEADER]: job.name }, giveUp.signal), job);
    } finally {
      clearInterval(timer);
      signal?.removeEventListener("abort", stop);
    }
  }
}

/** A job of the agent's that has a name. */
export class RunningJob {
  constructor(readonly connection: ClientConnection, readonly name: string) {}

  /** How far it is, or what came of it. */
  report(): Promise<JobReport> {
    return this.connection.json({ verb: "GET", path: `/v1/jobs/${this.name}` });
  }

  /** Ends it, and waits until it is over. */
  async cancel(): Promise<void> {
    await this.connection.json({ verb: "DELETE", path: `/v1/jobs/${this.name}` });
  }

  /** Why it broke off: what the agent says, or `fallback` where it does not know either. */
  async failure(fallback: unknown): Promise<unknown> {
    try {
      const { error } = await this.report();
      return error === undefined ? fallback : receivedError(error);
    } catch {
      return fallback;
    }
  }
}

/** An archive on its way out; its own failure says more than that of the request. */
class Source {
  failure: { error: unknown } | undefined;
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(archive: ReadableStream<Uint8Array>) {
    const reader = this.#reader = archive.getReader();
    this.stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: async (controller): Promise<void> => {
        try {
          const { value, done } = await reader.read();
          if (done) controller.close();
          // Deno copies what it sends, from whatever memory.
          else controller.enqueue(value as Uint8Array<ArrayBuffer>);
        } catch (error) {
          this.failure = { error };
          controller.error(error);
        }
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
  }

  /** Whoever makes it need not go on: the agent has answered. */
  end(): void {
    this.#reader.cancel().catch(() => {});
  }
}

function aborted(): StorageError {
  return new StorageError("aborted", "The operation was aborted");
}

/** The error that an agent told. */
function receivedError(unsafe: unknown): StorageError {
  const { code, message, hint } = unsafe as { code?: unknown; message?: unknown; hint?: unknown };
  return new StorageError(
    isErrorCode(code) ? code : "invalid_argument",
    typeof message === "string" ? message : "The agent gave no reason",
    typeof hint === "string" ? { hint } : {},
  );
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Requests to an agent, and what becomes of them: answers, or the errors that the agent's driver threw.
 *
 * @module
 */

import type { WorkOptions } from "../drivers/driver.ts";
import { StorageError } from "../errors.ts";
import { JOB_HEADER } from "./api_wire.ts";
import { type HttpAnswer, HttpConnection } from "./http_connection.ts";
import { isErrorCode } from "./http_status.ts";
import type { PipeReport } from "./archive_pipes.ts";
import type { JobReport } from "./jobs.ts";

/** What is asked. */
export interface ClientRequest {
  verb: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  query?: URLSearchParams;
  /** Sent as JSON. */
  json?: unknown;
}

/** How often a job is asked how far it is. */
const PROGRESS_MS = 200;
/** How long it is until an agent is told again to end a job. */
const RETRY_MS = 5;

/** A socket on which an agent listens. */
export class ClientConnection implements Disposable {
  /** One for each request at work, and those that wait for one. */
  readonly #connections = new Set<HttpConnection>();
  #streams: Deno.HttpClient | undefined;
  #isOpen = true;

  constructor(readonly socket: string) {}

  [Symbol.dispose](): void {
    this.#isOpen = false;
    for (const connection of this.#connections) connection[Symbol.dispose]();
    this.#connections.clear();
    this.#streams?.close();
    this.#streams = undefined;
  }

  /**
   * The answer's JSON.
   *
   * @throws {StorageError} What the agent answered, or `agent_unreachable`.
   */
  async json<T>({ verb, path, query, json }: ClientRequest, headers: Record<string, string> = {}): Promise<T> {
    const body = json === undefined ? {} : { json: JSON.stringify(json) };
    let answer: HttpAnswer;
    let value: unknown;
    try {
      const connection = await this.#connection();
      answer = await connection.exchange({ verb, target: targetOf(path, query), headers, ...body });
      value = JSON.parse(answer.body);
    } catch (error) {
      throw this.#unreachable(error);
    }
    if (answer.status >= 200 && answer.status < 300) return value as T;
    throw receivedError(value);
  }

  async #connection(): Promise<HttpConnection> {
    for (const connection of this.#connections) {
      if (connection.tryTake()) return connection;
      if (!connection.isOpen) this.#connections.delete(connection);
    }
    const made = await HttpConnection.open(this.socket);
    if (!this.#isOpen) {
      made[Symbol.dispose]();
      throw new Error("the connection was closed");
    }
    this.#connections.add(made);
    return made;
  }

  /**
   * An answer that is no JSON, as it comes.
   *
   * @throws {StorageError} As {@linkcode json}.
   */
  async stream({ verb, path, query }: ClientRequest): Promise<ReadableStream<Uint8Array>> {
    this.#streams ??= Deno.createHttpClient({ proxy: { transport: "unix", path: this.socket } });
    let response: Response;
    try {
      response = await fetch(`http://lamina${targetOf(path, query)}`, { client: this.#streams, method: verb });
    } catch (error) {
      throw this.#unreachable(error);
    }
    if (response.ok) return response.body!;
    throw receivedError(await response.json().catch(() => ({})) as unknown);
  }

  /** Has the agent make a pipe, and has `open` open one end of it; `name` is by which a request says that it is meant. */
  async openPipe<T>(open: (path: string) => Promise<T>): Promise<{ name: string; end: T }> {
    const { name, path } = await this.json<PipeReport>({ verb: "POST", path: "/v1/pipes" });
    try {
      return { name, end: await open(path) };
    } catch (error) {
      throw new StorageError("agent_unreachable", `Cannot open the agent's pipe ${path}`, {
        cause: error,
        hint: "the directory of the socket has to be seen here as the agent sees it",
      });
    }
  }

  /** The error for an agent that is not there, or has gone. */
  #unreachable(cause: unknown): StorageError {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new StorageError("agent_unreachable", `Cannot reach an agent on ${this.socket}: ${reason}`, {
      cause,
      hint: "start one with `lamina serve`; its socket is for its owner alone",
    });
  }

  /**
   * Sends a request for long work, and waits for its end. The signal ends the work at the agent, which then has cleared
   * everything away when this rejects.
   */
  async long<T>(request: ClientRequest, { signal, onProgress }: WorkOptions): Promise<T> {
    if (signal?.aborted) throw aborted();
    const name = crypto.randomUUID();
    const path = `/v1/jobs/${name}`;
    let isOver = false;
    const stop = async (): Promise<void> => {
      // The agent may not know of it yet.
      for (let isTold = false; !isTold && !isOver;) {
        isTold = await this.json({ verb: "DELETE", path }).then(() => true, () => false);
        if (!isTold && !isOver) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    };
    let stopping: Promise<void> | undefined;
    const onAbort = (): void => void (stopping = stop());
    signal?.addEventListener("abort", onAbort, { once: true });
    const timer = onProgress && setInterval(() => {
      this.json<JobReport>({ verb: "GET", path }).then(
        ({ entries, bytes }) => onProgress({ entries, bytes }),
        () => {},
      );
    }, PROGRESS_MS);
    try {
      return await this.json(request, { [JOB_HEADER]: name });
    } finally {
      isOver = true;
      clearInterval(timer);
      signal?.removeEventListener("abort", onAbort);
      await stopping;
    }
  }
}

/** The error for work that the caller's signal ended. */
export function aborted(): StorageError {
  return new StorageError("aborted", "The operation was aborted");
}

function targetOf(path: string, query: URLSearchParams | undefined): string {
  return query === undefined || query.size === 0 ? path : `${path}?${query}`;
}

/** The error that an agent told. */
function receivedError(unsafe: unknown): StorageError {
  const { code, message, hint } = (unsafe ?? {}) as { code?: unknown; message?: unknown; hint?: unknown };
  return new StorageError(
    isErrorCode(code) ? code : "invalid_argument",
    typeof message === "string" ? message : "The agent gave no reason",
    typeof hint === "string" ? { hint } : {},
  );
}

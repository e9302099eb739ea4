// SPDX-License-Identifier: Apache-2.0

/**
 * The agent's sockets: HTTP on each, until they are told to end. What is spoken there, each face says itself.
 *
 * @module
 */

import { dirname } from "node:path/posix";
import { asStorageError } from "../errors.ts";
import { makeRunDirectory } from "../util/run_file.ts";
import { type SocketPlace, takeSocketPlace } from "../util/unix_socket.ts";
import { IdleMemory } from "./idle_memory.ts";

/** A protocol on a socket of its own. */
export interface Face {
  /** What it is, for the log: `graph driver plugin "lamina"`. */
  readonly name: string;
  /** Where it listens. */
  readonly socket: string;
  /**
   * Answers a request; every failure of its own as well.
   *
   * @param end Ends the work: the agent can wait for it no longer. That a client went away, `request.signal` tells.
   */
  answer(request: Request, end: AbortSignal): Promise<Response>;
  /** Ends answers that have no end of their own: the agent takes no more callers. */
  leave?(): void;
}

/** How long cancelled work may take to clear away what it made. */
const CLEAR_AWAY_MS = 5_000;
/** How long connections may take to close. */
const CLOSE_MS = 500;

/** A socket in use. */
interface Listener {
  face: Face;
  place: SocketPlace;
  server: Deno.HttpServer;
}

/** An agent that listens. */
export class AgentServer {
  readonly #listeners: Listener[] = [];
  /** Answers that are not sent to their last byte yet. They never reject. */
  readonly #running = new Set<Promise<void>>();
  readonly #end = new AbortController();
  readonly #memory = new IdleMemory();
  /** A path that no client asks for: requests of our own, to see whether they are answered. */
  readonly #probePath = `/${crypto.randomUUID()}`;
  #isStopping = false;

  private constructor() {}

  /**
   * Listens for all `faces`, or, when that fails for one, for none. A directory that is not there is made for the owner
   * alone; so is each socket.
   *
   * @throws {StorageError} `socket_in_use`: another process listens there, which the message names; `invalid_argument`:
   * what is there is no socket; `permission_denied`.
   */
  static async listen(faces: readonly Face[]): Promise<AgentServer> {
    const agent = new AgentServer();
    try {
      for (const face of faces) await agent.#listen(face);
    } catch (error) {
      await agent.stop(0);
      throw error;
    }
    return agent;
  }

  async #listen(face: Face): Promise<void> {
    try {
      makeRunDirectory(dirname(face.socket));
      const { place, listener: server } = await takeSocketPlace(
        face.socket,
        (path) =>
          Deno.serve({ path, onListen: () => {}, onError: brokenOff }, (request, info) => {
            if (request.url.endsWith(this.#probePath)) return new Response();
            this.#note(info.completed);
            return face.answer(request, this.#end.signal);
          }),
      );
      this.#listeners.push({ face, place, server });
    } catch (error) {
      throw asStorageError(error, `Cannot listen on ${face.socket}`);
    }
  }

  #note(completed: Promise<void>): void {
    const over = completed.catch(() => {}).finally(() => {
      this.#running.delete(over);
      this.#memory.busy();
    });
    this.#running.add(over);
  }

  /** What it does, in one line. */
  describe(): string {
    const work = this.#running.size === 1 ? "1 request" : `${this.#running.size} requests`;
    if (this.#isStopping) return `Waiting for ${work} to end; mounts stay`;
    return `Serving ${this.#listeners.map(({ face }) => face.name).join(", ")}; ${work} at work`;
  }

  /**
   * Whether a caller would be answered on every socket. One that stops has no names any more to be called by; then it is
   * enough that this runs.
   *
   * @param signal Ends the waiting: rejects.
   */
  async answers(signal: AbortSignal): Promise<boolean> {
    if (this.#isStopping) return true;
    return (await Promise.all(this.#listeners.map(({ face }) => this.#answersOn(face.socket, signal)))).every(Boolean);
  }

  async #answersOn(path: string, signal: AbortSignal): Promise<boolean> {
    // One that is new each time, to see that new callers get through.
    using client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
    const response = await fetch(`http://lamina${this.#probePath}`, { client, signal });
    await response.body?.cancel();
    return response.ok;
  }

  /** How long {@linkcode stop} takes at most. */
  static longestStopMs(graceMs: number): number {
    return graceMs + CLEAR_AWAY_MS + CLOSE_MS;
  }

  /**
   * Takes no more callers, and waits until nothing runs. Who is connected already is still answered: what he asks for
   * belongs to what runs. After `graceMs` all of it is cancelled. Mounts stay as they are.
   *
   * @returns Whether all of it came to an end.
   */
  async stop(graceMs: number): Promise<boolean> {
    this.#isStopping = true;
    this.#memory[Symbol.dispose]();
    for (const { face, place } of this.#listeners) {
      await place.leave();
      face.leave?.();
    }
    if (!await this.#isIdleWithin(graceMs)) this.#end.abort();
    const hasEnded = await this.#isIdleWithin(CLEAR_AWAY_MS);
    // Not awaited for ever: a caller may not have sent all of what he was refused.
    await within(Promise.all(this.#listeners.map(({ server }) => server.shutdown())), CLOSE_MS);
    return hasEnded;
  }

  async #isIdleWithin(milliseconds: number): Promise<boolean> {
    const idle = async (): Promise<void> => {
      while (this.#running.size > 0) await Promise.all(this.#running);
    };
    return await within(idle(), milliseconds);
  }
}

/** A body that fails after its first byte: nobody sees this answer, since its connection breaks. */
function brokenOff(): Response {
  return new Response(null, { status: 500 });
}

/** Whether `promise` settles in time; its failure is the caller's. */
async function within(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  const { promise: timeout, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), milliseconds);
  try {
    return await Promise.race([promise.then(() => true), timeout]);
  } finally {
    clearTimeout(timer);
  }
}

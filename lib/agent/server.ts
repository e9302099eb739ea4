// SPDX-License-Identifier: Apache-2.0

/**
 * The agent's sockets: HTTP on each, until they are told to end. What is spoken there, each face says itself.
 *
 * @module
 */

import { dirname } from "node:path/posix";
import { asStorageError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { lockDirectory } from "../util/directory_lock.ts";
import { makeRunDirectory } from "../util/run_file.ts";
import { clearSocketPlace, listenAsOwner } from "../util/unix_socket.ts";

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
}

/** How long cancelled work may take to clear away what it made. */
const CLEAR_AWAY_MS = 5_000;

/** An agent that listens. */
export class AgentServer {
  readonly #servers: readonly Deno.HttpServer[];
  readonly #end: AbortController;

  private constructor(servers: readonly Deno.HttpServer[], end: AbortController) {
    this.#servers = servers;
    this.#end = end;
  }

  /**
   * Listens for all `faces`, or, when that fails for one, for none. A directory that is not there is made for the owner
   * alone; so is each socket.
   *
   * @throws {StorageError} `socket_in_use`: another process listens there, which the message names; `invalid_argument`:
   * what is there is no socket; `permission_denied`.
   */
  static async listen(faces: readonly Face[], logger: Logger): Promise<AgentServer> {
    const end = new AbortController();
    const servers: Deno.HttpServer[] = [];
    try {
      for (const face of faces) {
        servers.push(await listenFor(face, end.signal));
        logger.info(`${face.name} listens on ${face.socket}`);
      }
    } catch (error) {
      for (const server of servers) await server.shutdown();
      throw error;
    }
    return new AgentServer(servers, end);
  }

  /**
   * Takes no more requests, and waits for those that run; after `graceMs` they are cancelled. Mounts stay as they are.
   *
   * @returns Whether all of them came to an end.
   */
  async stop(graceMs: number): Promise<boolean> {
    const idle = Promise.all(this.#servers.map((server) => server.shutdown())).then(() => true);
    if (await within(idle, graceMs)) return true;
    this.#end.abort();
    return await within(idle, CLEAR_AWAY_MS);
  }
}

async function listenFor(face: Face, end: AbortSignal): Promise<Deno.HttpServer> {
  const { socket } = face;
  const directory = dirname(socket);
  try {
    makeRunDirectory(directory);
    // Two agents that find the same dead socket must not take it from each other.
    using _lock = await lockDirectory(directory, "exclusive");
    clearSocketPlace(socket);
    return serve(face, end);
  } catch (error) {
    throw asStorageError(error, `Cannot listen on ${socket}`);
  }
}

function serve(face: Face, end: AbortSignal): Deno.HttpServer {
  return listenAsOwner(() =>
    Deno.serve(
      { path: face.socket, onListen: () => {}, onError: brokenOff },
      (request: Request) => face.answer(request, end),
    )
  );
}

/** A body that fails after its first byte: nobody sees this answer, since its connection breaks. */
function brokenOff(): Response {
  return new Response(null, { status: 500 });
}

/** Whether `promise` settles in time; its failure is the caller's. */
async function within(promise: Promise<boolean>, milliseconds: number): Promise<boolean> {
  const { promise: timeout, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), milliseconds);
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Pipes beside the socket, through which archives go from and to programs of this host: without HTTP in between an
 * archive is read and written by the driver itself, several times as fast.
 *
 * @module
 */

import type { FileDescriptor } from "../drivers/driver.ts";
import { NamedPipe, removePipesIn } from "../util/named_pipe.ts";
import { makeRunDirectory } from "../util/run_file.ts";
import { RequestError } from "./protocol.ts";

/** How many wait for their request; then the one that has waited longest is given up. */
const MOST_WAITING = 256;

/** A pipe as the API tells it. */
export interface PipeReport {
  /** By which a request says that it is meant. */
  name: string;
  /** Where it is opened. */
  path: string;
}

/** Pipes that were made and wait for the request they are for. */
export class ArchivePipes {
  readonly #waiting = new Map<string, NamedPipe>();
  readonly #directory: string;
  #isReady = false;

  /** @param socket Whose holder alone makes pipes beside it. */
  constructor(socket: string) {
    this.#directory = `${socket}.pipes`;
  }

  /** Makes a pipe, of which the caller opens his end before he says what it is for. */
  make(): PipeReport {
    if (!this.#isReady) {
      makeRunDirectory(this.#directory);
      removePipesIn(this.#directory);
      this.#isReady = true;
    }
    const name = crypto.randomUUID();
    const path = `${this.#directory}/${name}`;
    this.#waiting.set(name, NamedPipe.make(path));
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > MOST_WAITING) this.#take(oldest!)?.[Symbol.dispose]();
    return { name, path };
  }

  /**
   * The agent's end of a pipe, which nobody else can take any more.
   *
   * @throws {RequestError} `pipe_not_found`.
   */
  open(name: string, end: "read" | "write"): FileDescriptor & Disposable {
    const pipe = this.#take(name);
    if (pipe === undefined) throw new RequestError("pipe_not_found", `There is no pipe ${JSON.stringify(name)}`);
    return pipe.open(end);
  }

  #take(name: string): NamedPipe | undefined {
    const pipe = this.#waiting.get(name);
    this.#waiting.delete(name);
    return pipe;
  }

  /** Gives up those that wait. */
  close(): void {
    for (const pipe of this.#waiting.values()) pipe[Symbol.dispose]();
    this.#waiting.clear();
  }
}

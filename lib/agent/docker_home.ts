// SPDX-License-Identifier: Apache-2.0

/**
 * The home that dockerd named. It names it once, when it starts, and does not notice when the agent starts again: so what
 * it said lies in the run root, which ends with the machine as dockerd does.
 *
 * @module
 */

import type { GraphDriver } from "../drivers/driver.ts";
import { readTextFileIfExists } from "../util/read_file.ts";
import { makeRunDirectory, replaceFileQuickly } from "../util/run_file.ts";
import { type InitRequest, readInit, writeInit } from "./docker_wire.ts";
import { RequestError, type UnsafeFields } from "./protocol.ts";

/** Opens a driver on a home, without touching it. */
export type OpenHome = (request: InitRequest) => Promise<GraphDriver>;

/** A home in use, and what dockerd has of it. */
export class DockerHome {
  /** How often dockerd got a layer and did not put it back, as far as this process has seen. */
  readonly #gets = new Map<string, number>();

  constructor(readonly driver: GraphDriver) {}

  /** Notes that dockerd got the layer. */
  noteGet(id: string): void {
    this.#gets.set(id, (this.#gets.get(id) ?? 0) + 1);
  }

  /** Notes that dockerd put the layer back, perhaps one that it got from another process. */
  notePut(id: string): void {
    const count = this.#gets.get(id) ?? 0;
    if (count > 1) this.#gets.set(id, count - 1);
    else this.#gets.delete(id);
  }

  /** Notes that dockerd has no layer any more. */
  noteCleanup(): void {
    this.#gets.clear();
  }

  /**
   * For a dockerd that has just started. One that was killed has put nothing back; for each container that was running it
   * will put its layer once, so that once is what is left of its gets.
   */
  async forgetLostGets(): Promise<void> {
    for (const [id, count] of this.#gets) {
      for (let i = count; i > 1; i--) await this.driver.put(id);
      this.#gets.set(id, 1);
    }
  }
}

/** The home in use, now and after the next start. */
export class DockerHomes {
  readonly #file: string;
  readonly #open: OpenHome;
  /**
   * By what Init said. Homes that are no longer in use stay open: to dispose a driver would take back what it mounted, and
   * there containers may still run.
   */
  readonly #homes = new Map<string, Promise<DockerHome>>();
  #current: Promise<DockerHome> | undefined;

  /** @param file Where it lies what Init said. */
  constructor(file: string, open: OpenHome) {
    this.#file = file;
    this.#open = open;
  }

  /** Takes a home into use: makes it, and finds out whether it can carry layers. What fails leaves the one before in use. */
  async init(request: InitRequest): Promise<void> {
    const home = await this.#homeOf(request);
    await home.forgetLostGets();
    makeRunDirectory(this.#file.slice(0, this.#file.lastIndexOf("/")));
    replaceFileQuickly(this.#file, writeInit(request));
    this.#current = Promise.resolve(home);
  }

  /**
   * The home in use.
   *
   * @throws {RequestError} `not_initialized`: dockerd never named one.
   */
  current(): Promise<DockerHome> {
    return this.#current ??= this.#remembered().catch((error: unknown) => {
      this.#current = undefined;
      throw error;
    });
  }

  async #remembered(): Promise<DockerHome> {
    const init = this.#readInit();
    if (init === undefined) {
      throw new RequestError("not_initialized", "There is no home yet: dockerd names it by GraphDriver.Init");
    }
    return await this.#homeOf(init);
  }

  #readInit(): InitRequest | undefined {
    const text = readTextFileIfExists(this.#file);
    if (text === undefined) return undefined;
    try {
      return readInit(JSON.parse(text) as UnsafeFields);
    } catch {
      // It lies on a disk that lost it with the machine's power: dockerd names its home when it starts.
      return undefined;
    }
  }

  #homeOf(request: InitRequest): Promise<DockerHome> {
    const key = writeInit(request);
    const known = this.#homes.get(key);
    if (known !== undefined) return known;
    const opened = this.#openHome(request);
    this.#homes.set(key, opened);
    opened.catch(() => this.#homes.delete(key));
    return opened;
  }

  async #openHome(request: InitRequest): Promise<DockerHome> {
    const driver = await this.#open(request);
    await driver.status();
    return new DockerHome(driver);
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What systemd is told by a service of `Type=notify`: sd_notify(3), sd_watchdog_enabled(3). Without systemd nothing is said,
 * and what cannot be said does not stop the service.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { sendDatagram } from "../util/unix_datagram.ts";

/** The environment, as far as systemd speaks by it; `Deno.env` is one. */
export interface Environment {
  get(name: string): string | undefined;
  delete(name: string): void;
}

/** The service that systemd is told of. */
export interface Service {
  /** What it does, in one line. */
  describe(): string;
  /** Whether it answers its callers. Rejects when it takes longer than the signal allows. */
  answers(signal: AbortSignal): Promise<boolean>;
}

const STATUS_MS = 2_000;
/** How long a service that is about to be ready may take to answer one call. */
const READY_MS = 10_000;
const READY_RETRY_MS = 100;
/** Of the time that a beat takes: a service that did not answer gets several more chances before systemd ends it. */
const WATCHDOG_RETRIES = 10;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Where systemd listens, and how often it wants to hear. */
interface Wishes {
  socket: string | undefined;
  watchdogMs: number | undefined;
}

/** systemd's side of the service's life. Disposing it says no more. */
export class Systemd implements Disposable {
  readonly #wishes: Wishes;
  readonly #logger: Logger;
  readonly #end = new AbortController();
  #isStopping = false;
  #hasWarned = false;

  private constructor(wishes: Wishes, logger: Logger) {
    this.#wishes = wishes;
    this.#logger = logger;
  }

  /** Takes what systemd says out of the environment, so that no child believes it was meant. */
  static fromEnvironment(env: Environment, logger: Logger): Systemd {
    const [socket, usec, pid] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"].map((name) => take(env, name));
    if (socket === undefined) return new Systemd({ socket: undefined, watchdogMs: undefined }, logger);
    const isForUs = pid === undefined || pid === String(Deno.pid);
    const watchdogMs = usec !== undefined && isForUs && /^[1-9]\d{0,15}$/.test(usec) ? Number(usec) / 1000 : undefined;
    return new Systemd({ socket, watchdogMs }, logger);
  }

  /** Says `READY=1` as soon as the service answers, and from then on what it does, and, where it is asked for, that it lives. */
  async ready(service: Service): Promise<void> {
    const { socket, watchdogMs } = this.#wishes;
    if (socket === undefined) return;
    while (!await this.#answers(service, READY_MS)) if (!await this.#sleep(READY_RETRY_MS)) return;
    if (this.#isStopping) return;
    const status = service.describe();
    await this.#notify("READY=1", `STATUS=${status}`);
    void this.#tellStatus(service, status);
    // Half of it, as sd_watchdog_enabled(3) advises.
    if (watchdogMs !== undefined) void this.#tellLife(service, Math.min(watchdogMs / 2, LONGEST_TIMER_MS));
  }

  /**
   * Says that the service is about to end.
   *
   * @param withinMs How long that takes at most; systemd's `TimeoutStopSec=` may be less.
   */
  async stopping(service: Service, withinMs: number): Promise<void> {
    this.#isStopping = true;
    await this.#notify("STOPPING=1", `STATUS=${service.describe()}`, `EXTEND_TIMEOUT_USEC=${withinMs * 1000}`);
  }

  async #tellStatus(service: Service, said: string): Promise<void> {
    for (let last = said; await this.#sleep(STATUS_MS);) {
      const status = service.describe();
      if (status !== last) await this.#notify(`STATUS=${status}`);
      last = status;
    }
  }

  async #tellLife(service: Service, beatMs: number): Promise<void> {
    let isAlive = true;
    do {
      isAlive = await this.#answers(service, beatMs / 2);
      if (isAlive) await this.#notify("WATCHDOG=1");
    } while (await this.#sleep(isAlive ? beatMs : beatMs / WATCHDOG_RETRIES));
  }

  async #answers(service: Service, withinMs: number): Promise<boolean> {
    // Not AbortSignal.any(): Deno 2.4 drops its signal although somebody listens to it.
    const attempt = new AbortController();
    const giveUp = (): void => attempt.abort(new Error("it took too long"));
    const timer = setTimeout(giveUp, withinMs);
    this.#end.signal.addEventListener("abort", giveUp);
    try {
      return await service.answers(attempt.signal);
    } catch (error) {
      this.#logger.debug(`the service does not answer: ${(error as Error).message}`);
      return false;
    } finally {
      clearTimeout(timer);
      this.#end.signal.removeEventListener("abort", giveUp);
    }
  }

  async #notify(...lines: readonly string[]): Promise<void> {
    const { socket } = this.#wishes;
    if (socket === undefined || this.#end.signal.aborted) return;
    try {
      if (!/^[/@]/.test(socket)) throw new TypeError("it is neither a path nor an abstract name");
      await sendDatagram(socket, lines.join("\n"));
    } catch (error) {
      if (!this.#hasWarned) {
        this.#logger.warn(`systemd cannot be told (NOTIFY_SOCKET=${socket}): ${(error as Error).message}`);
      }
      this.#hasWarned = true;
    }
  }

  /** Whether there is a point in going on afterwards. */
  async #sleep(milliseconds: number): Promise<boolean> {
    const { signal } = this.#end;
    if (signal.aborted) return false;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, milliseconds);
    const wake = (): void => resolve();
    signal.addEventListener("abort", wake);
    await promise;
    signal.removeEventListener("abort", wake);
    clearTimeout(timer);
    return !signal.aborted;
  }

  [Symbol.dispose](): void {
    this.#end.abort();
  }
}

/**
 * For sockets that systemd opened for this process (`.socket` units, sd_listen_fds(3)). Deno cannot serve on them in all
 * versions, and opens TCP ports instead where it cannot.
 *
 * @throws {StorageError} `not_supported`: there are some.
 */
export function refusePassedSockets(env: Environment): void {
  const [pid, count, names] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].map((name) => take(env, name));
  if (pid !== String(Deno.pid) || count === undefined || count === "0") return;
  const which = names === undefined ? "" : ` (${names})`;
  throw new StorageError(
    "not_supported",
    `Cannot listen on the sockets that systemd passed${which}: LISTEN_FDS=${count}`,
    {
      hint: "disable the .socket unit and start the service itself, which makes its own sockets",
    },
  );
}

function take(env: Environment, name: string): string | undefined {
  const value = env.get(name);
  env.delete(name);
  return value === "" ? undefined : value;
}

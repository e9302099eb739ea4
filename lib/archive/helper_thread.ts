// SPDX-License-Identifier: Apache-2.0

/**
 * Threads beside the one that reads or writes an archive: one compresses, one moves contents, one computes a digest.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { CONTENT_WORKER, type ContentRequest } from "./_content_jobs.ts";
import { DIGEST_WORKER, type DigestRequest } from "./_digest_jobs.ts";
import { FILTER_WORKER, type FilterRequest } from "./_filter.ts";
// Imported for a compiled program, which holds only what something imports; they act in Workers only.
import "./_content_worker.ts";
import "./_digest_worker.ts";
import "./_filter_worker.ts";

/** What a helper thread is to do. */
export type HelperRequest = FilterRequest | ContentRequest | DigestRequest;

/** A helper thread. */
export interface RunningHelper {
  /** It runs. Who waits for it in another way, without an event loop, need not ask. */
  ready: Promise<void>;
  terminate(): void;
}

/** How such a thread is started: a Worker has its parent do it (see _work_worker.ts of the drivers). */
export type StartHelper = (request: HelperRequest) => RunningHelper;

function openWorker(request: HelperRequest): Worker {
  // Written out: a compiled program finds its Workers by these expressions.
  switch (request.kind) {
    case "filter":
      return new Worker(new URL("./_filter_worker.ts", import.meta.url), { type: "module", name: FILTER_WORKER });
    case "content":
      return new Worker(new URL("./_content_worker.ts", import.meta.url), { type: "module", name: CONTENT_WORKER });
    case "digest":
      return new Worker(new URL("./_digest_worker.ts", import.meta.url), { type: "module", name: DIGEST_WORKER });
  }
}

/** Starts the Worker from this thread, which takes some 15 ms of it. */
export function startHelper(request: HelperRequest): RunningHelper {
  const worker = openWorker(request);
  const ready = new Promise<void>((resolve, reject) => {
    worker.onmessage = (): void => resolve();
    worker.onerror = (event: ErrorEvent): void => {
      event.preventDefault();
      reject(new StorageError("system_error", `Cannot run a Worker: ${event.message}`));
    };
  });
  // Who blocks without waiting for it does not want to hear of it either.
  ready.catch(() => {});
  worker.postMessage(request);
  return { ready, terminate: () => worker.terminate() };
}

/** An idle Worker, and what ends it if nobody wants it. */
interface IdleWorker {
  worker: Worker;
  timer: ReturnType<typeof setTimeout>;
}

/**
 * Starts helper threads, and keeps those that move contents for a while: one that has compiled its loops is faster than a
 * new one by more than its start.
 */
export class HelperPool implements Disposable {
  readonly #idle: IdleWorker[] = [];
  readonly #idleMs: number;
  #isDisposed = false;

  /** @param idleMs How long a thread without work is kept; it keeps its process alive. */
  constructor(idleMs: number) {
    this.#idleMs = idleMs;
  }

  readonly start: StartHelper = (request) => {
    if (request.kind !== "content") return startHelper(request);
    const idle = this.#idle.pop();
    clearTimeout(idle?.timer);
    const worker = idle?.worker ?? openWorker(request);
    worker.postMessage(request);
    return { ready: Promise.resolve(), terminate: (): void => this.#giveBack(worker) };
  };

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    for (const { worker, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      worker.terminate();
    }
  }

  #giveBack(worker: Worker): void {
    if (this.#isDisposed) return worker.terminate();
    const timer = setTimeout(() => {
      const at = this.#idle.findIndex((idle) => idle.worker === worker);
      if (at === -1) return;
      this.#idle.splice(at, 1);
      worker.terminate();
    }, this.#idleMs);
    this.#idle.push({ worker, timer });
  }
}

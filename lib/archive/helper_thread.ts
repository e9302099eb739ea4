// SPDX-License-Identifier: Apache-2.0

/**
 * Threads beside the one that reads or writes an archive: one compresses, one moves contents, one computes a digest.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { CONTENT_WORKER, type ContentRequest } from "./_content_jobs.ts";
import { FILTER_WORKER, type FilterRequest } from "./_filter.ts";
// Imported for a compiled program, which holds only what something imports; they act in Workers only.
import "./_content_worker.ts";
import "./_filter_worker.ts";

/** What a helper thread is to do. */
export type HelperRequest = FilterRequest | ContentRequest;

/** A helper thread. */
export interface RunningHelper {
  /** It runs. Who waits for it in another way, without an event loop, need not ask. */
  ready: Promise<void>;
  terminate(): void;
}

/** How such a thread is started: a Worker has its parent do it (see _work_worker.ts of the drivers). */
export type StartHelper = (request: HelperRequest) => RunningHelper;

function openWorker(request: HelperRequest): Worker {
  // Written out twice: a compiled program finds Workers by reading these expressions.
  return request.kind === "filter"
    ? new Worker(new URL("./_filter_worker.ts", import.meta.url), { type: "module", name: FILTER_WORKER })
    : new Worker(new URL("./_content_worker.ts", import.meta.url), { type: "module", name: CONTENT_WORKER });
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

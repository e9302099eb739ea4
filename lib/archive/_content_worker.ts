// SPDX-License-Identifier: Apache-2.0

/**
 * The Worker that does content jobs. Imported as an ordinary module (so that a compiled program holds it) it does
 * nothing.
 *
 * @module
 */

import { performJobs } from "../util/job_queue.ts";
import { CONTENT_WORKER, type ContentRequest, performContentJob } from "./_content_jobs.ts";

interface WorkerScope {
  name?: string;
  onmessage?: (event: MessageEvent<ContentRequest>) => void;
}

const scope = globalThis as unknown as WorkerScope;
if (scope.name === CONTENT_WORKER) {
  scope.onmessage = ({ data }): void => {
    const memory = new Uint8Array(data.memory);
    performJobs(data.queue, (words, at) => performContentJob(memory, words, at));
  };
}

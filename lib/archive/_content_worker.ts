// SPDX-License-Identifier: Apache-2.0

/**
 * The Worker that does content jobs. Imported as an ordinary module (so that a compiled program holds it) it does
 * nothing.
 *
 * @module
 */

import { performJobs } from "../util/job_queue.ts";
import { CONTENT_WORKER, ContentJobs, type ContentRequest } from "./_content_jobs.ts";

interface WorkerScope {
  name?: string;
  onmessage?: (event: MessageEvent<ContentRequest>) => void;
  close(): void;
}

const scope = globalThis as unknown as WorkerScope;
if (scope.name === CONTENT_WORKER) {
  scope.onmessage = ({ data }): void => {
    const jobs = new ContentJobs(data.memory);
    performJobs(data.queue, (words, at) => jobs.perform(words, at));
    scope.close();
  };
}

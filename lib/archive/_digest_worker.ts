// SPDX-License-Identifier: Apache-2.0

/**
 * The Worker that computes a digest. Imported as an ordinary module (so that a compiled program holds it) it does nothing.
 *
 * @module
 */

import { performJobs } from "../util/job_queue.ts";
import { DIGEST_WORKER, DigestJobs, type DigestRequest } from "./_digest_jobs.ts";

interface WorkerScope {
  name?: string;
  onmessage?: (event: MessageEvent<DigestRequest>) => Promise<void>;
}

const scope = globalThis as unknown as WorkerScope;
if (scope.name === DIGEST_WORKER) {
  scope.onmessage = async ({ data }): Promise<void> => {
    // Not above: everybody who imports this module would wait for it to be loaded.
    const { createHash } = await import("node:crypto");
    const jobs = new DigestJobs(data.memory, createHash("sha256"));
    performJobs(data.queue, (words, at) => jobs.perform(words, at));
  };
}

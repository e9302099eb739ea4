// SPDX-License-Identifier: Apache-2.0

/**
 * The digest of an archive on its way in or out, in a thread of its own.
 *
 * @module
 */

import type { Digest } from "../digest.ts";
import type { ChunkRing } from "../util/chunk_ring.ts";
import { JobQueue } from "../util/job_queue.ts";
import { digestAt, postDigestJob } from "./_digest_jobs.ts";
import type { RunningHelper, StartHelper } from "./helper_thread.ts";

/** The SHA-256 digest of a stream, computed while the stream goes through `ring`. */
export class StreamDigest implements Disposable {
  readonly #queue: JobQueue;
  readonly #thread: RunningHelper;
  readonly #ring: ChunkRing;

  constructor(ring: ChunkRing, start: StartHelper, onWait: () => void) {
    this.#ring = ring;
    this.#queue = new JobQueue(onWait);
    this.#thread = start({ kind: "digest", queue: this.#queue.memory, memory: ring.memory });
    ring.addUser(this.#queue);
  }

  /** The next bytes of the stream. */
  add(offset: number, length: number): void {
    if (length > 0) postDigestJob(this.#queue, offset, length);
  }

  /** The digest of all. Nothing may be in the ring any more. */
  finish(): Digest {
    postDigestJob(this.#queue, 0, 0);
    this.#queue.waitFor(this.#queue.posted);
    if (this.#queue.failedJob !== undefined) throw this.#queue.failure();
    return digestAt(this.#ring.memory, 0);
  }

  [Symbol.dispose](): void {
    this.#queue.close();
    this.#thread.terminate();
  }
}

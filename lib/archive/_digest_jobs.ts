// SPDX-License-Identifier: Apache-2.0

/**
 * What a thread does that computes the digest of an archive while others read or write it.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Hash } from "node:crypto";
import type { Digest } from "../digest.ts";
import type { JobQueue } from "../util/job_queue.ts";

/** The Worker's name, by which its module knows that it is one. */
export const DIGEST_WORKER = "lamina-digest";

/** The Worker's only message. */
export interface DigestRequest {
  kind: "digest";
  /** A JobQueue's memory. */
  queue: SharedArrayBuffer;
  /** The bytes that go by. */
  memory: SharedArrayBuffer;
}

/** The numbers of a job, by place. A job of no bytes ends the digest, which is put where the job says. */
const OFFSET = 0;
const LENGTH = 1;

/** Bytes of a SHA-256 digest. */
const DIGEST_LENGTH = 32;

/** Adds `length` bytes at `offset` of the shared memory, or with a length of 0 asks for the digest there. */
export function postDigestJob(queue: JobQueue, offset: number, length: number): void {
  const at = queue.place();
  queue.words[at + OFFSET] = offset;
  queue.words[at + LENGTH] = length;
  queue.post();
}

/** `sha256:` and the digest at `offset` in hexadecimal digits. */
export function digestAt(memory: SharedArrayBuffer, offset: number): Digest {
  return `sha256:${Buffer.from(memory as unknown as ArrayBuffer, offset, DIGEST_LENGTH).toString("hex")}`;
}

/** The other side: one digest. */
export class DigestJobs {
  readonly #bytes: Uint8Array;
  readonly #hash: Hash;

  constructor(memory: SharedArrayBuffer, hash: Hash) {
    this.#bytes = new Uint8Array(memory);
    this.#hash = hash;
  }

  /** Does the job whose numbers are at `at` of `words`. */
  perform(words: Int32Array, at: number): void {
    const offset = words[at + OFFSET]!;
    const length = words[at + LENGTH]!;
    if (length === 0) this.#bytes.set(this.#hash.digest(), offset);
    else this.#hash.update(this.#bytes.subarray(offset, offset + length));
  }
}

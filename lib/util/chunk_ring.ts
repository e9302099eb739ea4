// SPDX-License-Identifier: Apache-2.0

/**
 * Shared memory for a stream of bytes: a few chunks that are used in turn. Other threads may still be busy with a chunk
 * that this thread is through with; it is used again when they are done.
 *
 * @module
 */

/** Bytes of one chunk: larger ones fall out of the processor's cache between reading and writing. */
export const CHUNK_SIZE = 256 * 1024;
const CHUNKS = 8;

/** Another thread's jobs on the chunks: a JobQueue. */
export interface ChunkUser {
  /** Number of the last job. */
  readonly posted: number;
  /** Waits until the job of this number and all before it are done. */
  waitFor(job: number): void;
}

/** The memory, and whose turn it is. */
export class ChunkRing {
  readonly memory = new SharedArrayBuffer(CHUNKS * CHUNK_SIZE);
  readonly bytes: Uint8Array<SharedArrayBuffer> = new Uint8Array(this.memory);
  readonly chunks = CHUNKS;
  /** The chunk in use. */
  current = 0;
  readonly #users: { user: ChunkUser; jobs: number[] }[] = [];

  /** Where the chunk in use begins. */
  get base(): number {
    return this.current * CHUNK_SIZE;
  }
  /** Where it ends. */
  get limit(): number {
    return this.base + CHUNK_SIZE;
  }

  /** Whether other threads use the chunks; if none does, the first one is enough. */
  get isShared(): boolean {
    return this.#users.length > 0;
  }

  /** From now on `user` has jobs on the chunks. */
  addUser(user: ChunkUser): void {
    this.#users.push({ user, jobs: new Array<number>(CHUNKS).fill(0) });
  }

  /** Notes that the users' jobs so far may concern `chunk`, and none that come later will. */
  mark(chunk: number = this.current): void {
    for (const { user, jobs } of this.#users) jobs[chunk] = user.posted;
  }

  /** Takes the next chunk, when its users are done with it. */
  advance(): void {
    const next = (this.current + 1) % CHUNKS;
    for (const { user, jobs } of this.#users) user.waitFor(jobs[next]!);
    this.current = next;
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What a second thread does with the bytes of an archive while the first goes on with its entries: writes them to files,
 * reads them from files, computes their digest. Names are made and opened by the first thread alone, in the archive's
 * order; a job is handed an open file, so it can neither reach another file nor come too early or too late.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash, type Hash } from "node:crypto";
import { close, read, writeAll } from "../../ffi/file.ts";
import { fchmod, fchown, futimens } from "../../ffi/owner.ts";
import { StorageError } from "../errors.ts";
import type { JobQueue } from "../util/job_queue.ts";
import type { TarEntry } from "./header.ts";

/** The Worker's name, by which its module knows that it is one. */
export const CONTENT_WORKER = "lamina-content";

/** The Worker's only message. */
export interface ContentRequest {
  kind: "content";
  /** A JobQueue's memory. */
  queue: SharedArrayBuffer;
  /** The bytes that the jobs are about. */
  memory: SharedArrayBuffer;
}

const WRITE = 1;
const READ = 2;
const HASH = 3;
const DIGEST = 4;

/** The numbers of a job, by place. */
const ACTION = 0;
const FD = 1;
const OFFSET = 2;
const LENGTH = 3;
const FLAGS = 4;
const UID = 5;
const GID = 6;
const MODE = 7;
const SECONDS_LOW = 8;
const SECONDS_HIGH = 9;
const NANOSECONDS = 10;

/** It is the file's last job, which closes it. */
export const LAST = 1;
/** The file is given to the entry's owner. */
export const CHOWN = 2;
/** The file gets the entry's mode. */
export const CHMOD = 4;

const TWO_32 = 4294967296;
/** Bytes of a SHA-256 digest, which come back in the memory of the ring's beginning. */
const DIGEST_LENGTH = 32;

/** Writes `length` bytes at `offset` of the shared memory to `fd`; with `LAST`, finishes the file as `entry` says. */
export function postWrite(
  queue: JobQueue,
  fd: number,
  offset: number,
  length: number,
  flags: number,
  entry: TarEntry,
): void {
  const at = queue.place();
  const { words } = queue;
  words[at + ACTION] = WRITE;
  words[at + FD] = fd;
  words[at + OFFSET] = offset;
  words[at + LENGTH] = length;
  words[at + FLAGS] = flags;
  if (flags !== 0) {
    words[at + UID] = entry.uid;
    words[at + GID] = entry.gid;
    words[at + MODE] = entry.mode;
    words[at + SECONDS_LOW] = entry.mtimeSeconds;
    words[at + SECONDS_HIGH] = Math.floor(entry.mtimeSeconds / TWO_32);
    words[at + NANOSECONDS] = entry.mtimeNanoseconds;
  }
  queue.post();
}

/** Reads `length` bytes of `fd` to `offset` of the shared memory; with `LAST`, closes it. */
export function postRead(queue: JobQueue, fd: number, offset: number, length: number, flags: number): void {
  const at = queue.place();
  const { words } = queue;
  words[at + ACTION] = READ;
  words[at + FD] = fd;
  words[at + OFFSET] = offset;
  words[at + LENGTH] = length;
  words[at + FLAGS] = flags;
  queue.post();
}

/** Adds `length` bytes at `offset` of the shared memory to the digest. */
export function postHash(queue: JobQueue, offset: number, length: number): void {
  const at = queue.place();
  const { words } = queue;
  words[at + ACTION] = HASH;
  words[at + OFFSET] = offset;
  words[at + LENGTH] = length;
  queue.post();
}

/** Ends the digest, whose bytes go to `offset` of the shared memory. */
export function postDigest(queue: JobQueue, offset: number): void {
  const at = queue.place();
  queue.words[at + ACTION] = DIGEST;
  queue.words[at + OFFSET] = offset;
  queue.post();
}

/** `sha256:` and the digest at `offset` in hexadecimal digits. */
export function digestAt(memory: SharedArrayBuffer, offset: number): string {
  return `sha256:${Buffer.from(memory as unknown as ArrayBuffer, offset, DIGEST_LENGTH).toString("hex")}`;
}

/** The other side: does jobs on one shared memory. */
export class ContentJobs {
  readonly #bytes: Uint8Array;
  #hash: Hash | undefined;

  constructor(memory: SharedArrayBuffer) {
    this.#bytes = new Uint8Array(memory);
  }

  /** Does the job whose numbers are at `at` of `words`. */
  perform(words: Int32Array, at: number): void {
    const offset = words[at + OFFSET]!;
    switch (words[at + ACTION]) {
      case WRITE:
        return this.#write(words, at, this.#place(offset, words[at + LENGTH]!));
      case READ:
        return this.#read(words, at, this.#place(offset, words[at + LENGTH]!));
      case HASH:
        this.#hash ??= createHash("sha256");
        this.#hash.update(this.#place(offset, words[at + LENGTH]!));
        return;
      case DIGEST:
        this.#bytes.set((this.#hash ?? createHash("sha256")).digest(), offset);
        this.#hash = undefined;
    }
  }

  #place(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(offset, offset + length);
  }

  #write(words: Int32Array, at: number, bytes: Uint8Array): void {
    const fd = words[at + FD]!;
    const flags = words[at + FLAGS]!;
    try {
      if (bytes.length > 0) writeAll(fd, bytes);
      if ((flags & LAST) === 0) return;
      // In this order: see unpack.ts.
      if (flags & CHOWN) fchown(fd, words[at + UID]! >>> 0, words[at + GID]! >>> 0);
      if (flags & CHMOD) fchmod(fd, words[at + MODE]!);
      const seconds = (words[at + SECONDS_LOW]! >>> 0) + words[at + SECONDS_HIGH]! * TWO_32;
      futimens(fd, seconds, words[at + NANOSECONDS]!);
    } finally {
      if (flags & LAST) close(fd);
    }
  }

  #read(words: Int32Array, at: number, bytes: Uint8Array): void {
    const fd = words[at + FD]!;
    try {
      for (let done = 0; done < bytes.length;) {
        const got = read(fd, done === 0 ? bytes : bytes.subarray(done));
        if (got === 0) throw new StorageError("system_error", "it became shorter while it was read");
        done += got;
      }
    } finally {
      if (words[at + FLAGS]! & LAST) close(fd);
    }
  }
}

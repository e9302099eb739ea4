// SPDX-License-Identifier: Apache-2.0

/**
 * What a second thread does with the bytes of an archive while the first goes on with its entries: writes them to files,
 * or reads them from files. Names are made and opened by the first thread alone, in the archive's
 * order; a job is handed an open file, so it can neither reach another file nor come too early or too late.
 *
 * @module
 */

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

/** Does the job whose numbers are at `at` of `words`, on `memory`. */
export function performContentJob(memory: Uint8Array, words: Int32Array, at: number): void {
  const offset = words[at + OFFSET]!;
  const bytes = memory.subarray(offset, offset + words[at + LENGTH]!);
  if (words[at + ACTION] === WRITE) writeFile(words, at, bytes);
  else readFile(words, at, bytes);
}

function writeFile(words: Int32Array, at: number, bytes: Uint8Array): void {
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

function readFile(words: Int32Array, at: number, bytes: Uint8Array): void {
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

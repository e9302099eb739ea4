// SPDX-License-Identifier: Apache-2.0

/**
 * Between web streams and work that reads or writes descriptors.
 *
 * @module
 */

import { close } from "../../ffi/file.ts";
import { StorageError } from "../errors.ts";
import { isSourceFailure, pipeFromStream, pump, streamWrittenBy } from "../util/pipe_stream.ts";
import { JoinedSignal } from "../util/joined_signal.ts";
import type { Logger } from "../log.ts";
import type { DiffResult, FileDescriptor, WorkOptions } from "./driver.ts";

/**
 * What `write` writes to its descriptor, as a stream. `write` runs in another thread, and ends when its signal says so.
 * A stream has no place for the files that were left out: who wants them as data writes to a descriptor.
 */
export async function diffWrittenBy(
  write: (archiveFd: number, signal: AbortSignal) => Promise<DiffResult>,
  { signal }: WorkOptions,
  logger: Logger,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const { stream, result } = await streamWrittenBy(write, signal);
  result.then(({ skipped, skippedSockets }) => {
    for (const path of skippedSockets) logger.warn(`left out ${path}: an archive cannot hold a socket`);
    for (const { path, reason } of skipped) logger.warn(`left out ${path}: ${reason}`);
  }, () => {});
  return stream;
}

/** Gives `diff` to `use` as a descriptor. A stream goes through a pipe, whose other end is filled meanwhile. */
export async function feed<T>(
  diff: ReadableStream<Uint8Array> | FileDescriptor,
  { signal }: WorkOptions,
  use: (archiveFd: number) => Promise<T>,
): Promise<T> {
  if (!(diff instanceof ReadableStream)) return await use(diff.fd);
  const { readFd, writer } = await pipeFromStream();
  const stop = new AbortController();
  using either = new JoinedSignal(stop.signal, signal);
  const fed = pump(diff, writer, either.signal).then(() => undefined, (error: unknown) => error);
  let result: T;
  try {
    result = await use(readFd);
  } catch (error) {
    stop.abort();
    close(readFd);
    const pumpError = await fed;
    if (signal?.aborted) throw new StorageError("aborted", "The operation was aborted", { cause: error });
    // A source that fails ends the archive early; its own error says more than "cut short".
    throw isSourceFailure(pumpError) ? pumpError : error;
  }
  close(readFd);
  await fed;
  // The signal ends a stream early, and what was behind the archive's end is then not known.
  if (signal?.aborted) throw new StorageError("aborted", "The operation was aborted");
  return result;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Web streams at one end of a pipe, a plain descriptor at the other: how synchronous work in another thread is joined to
 * the streams of the library's users.
 *
 * @module
 */

import { close, pipe2, trySetPipeSize } from "../../ffi/file.ts";
import { JoinedSignal } from "./joined_signal.ts";

const PIPE_SIZE = 1024 * 1024;
const CHUNK_SIZE = 256 * 1024;

/** Deno cannot take over a descriptor; through /proc it opens the same pipe once more, for its own asynchronous calls. */
async function adopt(fd: number, mode: "read" | "write"): Promise<Deno.FsFile> {
  try {
    return await Deno.open(`/proc/self/fd/${fd}`, { read: mode === "read", write: mode === "write" });
  } finally {
    close(fd);
  }
}

/** A pipe that is written as a stream and read as a descriptor. Whoever gets the descriptor closes it. */
export async function pipeFromStream(): Promise<{ readFd: number; writer: Deno.FsFile }> {
  const { readFd, writeFd } = pipe2();
  trySetPipeSize(writeFd, PIPE_SIZE);
  return { readFd, writer: await adopt(writeFd, "write") };
}

/** A pipe that is written as a descriptor and read as a stream. Whoever gets the descriptor closes it. */
export async function pipeToStream(): Promise<{ writeFd: number; reader: Deno.FsFile }> {
  const { readFd, writeFd } = pipe2();
  trySetPipeSize(writeFd, PIPE_SIZE);
  return { writeFd, reader: await adopt(readFd, "read") };
}

/** Writes everything `source` gives to `writer`, and closes it. What goes wrong on either side ends the other. */
export async function pump(
  source: ReadableStream<Uint8Array>,
  writer: Deno.FsFile,
  signal: AbortSignal,
): Promise<void> {
  await source.pipeTo(writer.writable as WritableStream<Uint8Array>, { signal });
}

/** Whether a failed {@linkcode pump} failed at its source, and not because nobody wanted the rest. */
export function isSourceFailure(error: unknown): boolean {
  if (error === undefined || error instanceof Deno.errors.BrokenPipe) return false;
  return !(error instanceof DOMException && error.name === "AbortError");
}

/** A stream, and how the work ends that writes it. */
export interface WrittenStream<T> {
  stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Settles before the stream ends. */
  result: Promise<T>;
}

/**
 * What `write` writes to its descriptor, as a stream. `write` runs in another thread, and ends when its signal says so:
 * when `signal` does, or when nobody wants the rest.
 */
export async function streamWrittenBy<T>(
  write: (writeFd: number, signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<WrittenStream<T>> {
  const { writeFd, reader } = await pipeToStream();
  const abort = new AbortController();
  const either = new JoinedSignal(abort.signal, signal);
  const result = write(writeFd, either.signal).finally(() => {
    either[Symbol.dispose]();
    // The writing end closes with the work: that is the end the reader sees.
    close(writeFd);
  });
  return { stream: streamOf(reader, result, () => abort.abort()), result };
}

/**
 * What comes out of `reader` as a stream, which ends well only if `work`, which fills the pipe, does: its failure is the
 * stream's. `cancel` is called when nobody wants the rest.
 */
export function streamOf(
  reader: Deno.FsFile,
  work: Promise<unknown>,
  cancel: () => void,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  // The stream takes the failure up when it gets there; until then it is not unhandled.
  work.catch(() => {});
  // Whoever reads to the end may give the stream up while the work still ends.
  let isClosed = false;
  const closeReader = (): void => {
    if (!isClosed) reader.close();
    isClosed = true;
  };
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller): Promise<void> {
      try {
        const chunk = new Uint8Array(CHUNK_SIZE);
        const length = await reader.read(chunk);
        if (length !== null) return controller.enqueue(chunk.subarray(0, length));
        closeReader();
        await work;
        controller.close();
      } catch (error) {
        controller.error(error);
      }
    },
    async cancel(): Promise<void> {
      cancel();
      closeReader();
      await work.catch(() => {});
    },
  }, { highWaterMark: 0 });
}

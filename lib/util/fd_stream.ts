// SPDX-License-Identifier: Apache-2.0

/**
 * Between descriptors that somebody hands over and web streams, in the thread that runs the event loop. Deno has no way
 * to take over a descriptor; opened once more through /proc, a pipe that the other side has left would block.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { read } from "../../ffi/file.ts";
import { waitUntilReadable } from "../../ffi/poll.ts";
import { asStorageError, outputClosed } from "../errors.ts";
import { OutputFd } from "./output_fd.ts";

const CHUNK_SIZE = 256 * 1024;
/** How long the event loop stands still while a pipe gives nothing. */
const LOOK_MS = 2;

/**
 * What is read from `fd`, from where it stands. The descriptor stays open.
 *
 * @param done Called when nothing more is read: at the end, after a failure, or since nobody wants the rest.
 */
export function streamFromFd(fd: number, done: () => void = () => {}): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller): Promise<void> {
      try {
        while (!waitUntilReadable(fd, LOOK_MS)) await new Promise((resolve) => setTimeout(resolve, 0));
        const chunk = new Uint8Array(CHUNK_SIZE);
        const length = read(fd, chunk);
        if (length > 0) return controller.enqueue(chunk.subarray(0, length));
      } catch (error) {
        done();
        throw error;
      }
      done();
      controller.close();
    },
    cancel: done,
  }, { highWaterMark: 0 });
}

/**
 * Writes all of `stream` to `fd`, which stays open. While a pipe is full, the event loop stands still.
 *
 * @throws {StorageError} `output_closed`: nobody reads the pipe; `no_space` and the like.
 */
export async function writeStreamToFd(stream: ReadableStream<Uint8Array>, fd: number): Promise<void> {
  using output = new OutputFd(fd, () => {});
  for await (const chunk of stream) {
    try {
      output.write(chunk);
    } catch (error) {
      throw isErrno(error, "EPIPE") ? outputClosed(error) : asStorageError(error, "Cannot write the archive");
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Pipes with a name, by which another process of this host opens the other end: fifo(7).
 *
 * @module
 */

import { ERRNO, failure } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  Fd,
  mknodat,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  openat,
  trySetPipeSize,
  tryUnlinkat,
  tryWrite,
} from "../../ffi/file.ts";
import { waitUntilReadable } from "../../ffi/poll.ts";
import { S_IFIFO } from "../../ffi/stat.ts";

const MODE = 0o600;
const PIPE_SIZE = 1024 * 1024;
/** How often a pipe that is empty is looked at. */
const LOOK_MS = 2;

/** A pipe whose other end somebody may open, until this is disposed. */
export class NamedPipe implements Disposable {
  /** Both ends, so that whoever opens one need not wait for the other. */
  readonly #guard: Fd;

  private constructor(readonly path: string, guard: Fd) {
    this.#guard = guard;
  }

  /** Makes one, for the owner alone. */
  static make(path: string): NamedPipe {
    mknodat(AT_FDCWD, path, S_IFIFO | MODE);
    const pipe = new NamedPipe(path, new Fd(openat(AT_FDCWD, path, O_RDWR | O_NONBLOCK | O_NOFOLLOW)));
    trySetPipeSize(pipe.#guard.fd, PIPE_SIZE);
    return pipe;
  }

  /** One end for this process. The name is gone then, and the pipe is over when either side closes its own end. */
  open(end: "read" | "write"): Fd {
    using _pipe = this;
    return new Fd(openat(AT_FDCWD, this.path, (end === "read" ? O_RDONLY : O_WRONLY) | O_NOFOLLOW));
  }

  [Symbol.dispose](): void {
    tryUnlinkat(AT_FDCWD, this.path);
    this.#guard[Symbol.dispose]();
  }
}

/** Removes pipes that a process left behind which was killed; what else lies there stays. */
export function removePipesIn(directory: string): void {
  for (const { name } of Deno.readDirSync(directory)) {
    const path = `${directory}/${name}`;
    if (Deno.lstatSync(path).isFifo) tryUnlinkat(AT_FDCWD, path);
  }
}

/**
 * The writing end of a pipe that another process made. What the pipe has room for is written at once; for the rest
 * another thread waits, since handing over each piece would take longer than to write it.
 */
export class PipeWriter {
  readonly #patient: Deno.FsFile;
  readonly #quick: Fd;

  private constructor(patient: Deno.FsFile, quick: Fd) {
    this.#patient = patient;
    this.#quick = quick;
  }

  /** Opens the pipe `path`, whose other end is open. */
  static async open(path: string): Promise<PipeWriter> {
    const patient = await Deno.open(path, { write: true });
    try {
      return new PipeWriter(patient, new Fd(openat(AT_FDCWD, path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW)));
    } catch (error) {
      patient.close();
      throw error;
    }
  }

  /**
   * A stream that ends the pipe when it ends, well or not. A chunk is passed on when it comes; the sink of Deno's files
   * (2.9) keeps the last one back until there is another.
   */
  get writable(): WritableStream<Uint8Array> {
    const close = (): void => {
      this.#patient.close();
      this.#quick[Symbol.dispose]();
    };
    const write = async (chunk: Uint8Array): Promise<void> => {
      try {
        await this.#write(chunk);
      } catch (error) {
        close();
        throw error;
      }
    };
    return new WritableStream<Uint8Array>({ write, close, abort: close });
  }

  async #write(chunk: Uint8Array): Promise<void> {
    for (let done = 0; done < chunk.length;) {
      const count = tryWrite(this.#quick.fd, chunk.subarray(done));
      if (count >= 0) done += count;
      else if (count === -ERRNO.EAGAIN) done += await this.#patient.write(chunk.subarray(done));
      else if (count === -ERRNO.EPIPE) throw new Deno.errors.BrokenPipe("nobody reads the pipe");
      else if (count !== -ERRNO.EINTR) throw failure(-count, "write", this.#quick.fd, "…", chunk.length - done);
    }
  }
}

/** Waits until something was written to a pipe, or nobody will write any more; or until the signal. */
export async function untilReadable(fd: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !waitUntilReadable(fd, 0)) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Pipes with a name, by which another process of this host opens the other end: fifo(7).
 *
 * @module
 */

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

/** Waits until something was written to a pipe, or nobody will write any more; or until the signal. */
export async function untilReadable(fd: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !waitUntilReadable(fd, 0)) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Writing to a descriptor whose reader may not read: the wait for it can be given up.
 *
 * @module
 */

import { ERRNO, failure } from "../../ffi/errno.ts";
import { AT_FDCWD, close, O_NONBLOCK, O_WRONLY, tryOpenat, tryWrite } from "../../ffi/file.ts";
import { waitUntilWritable } from "../../ffi/poll.ts";
import { fstat, S_IFIFO, S_IFMT, Stat } from "../../ffi/stat.ts";

/** How often a wait for the reader of a pipe is interrupted to see whether the output is still wanted. */
const LOOK_MS = 50;

/** A descriptor for output. Disposing it leaves the caller's own one open. */
export class OutputFd implements Disposable {
  /** For calls that {@linkcode OutputFd.write} is not for; EAGAIN of them means {@linkcode OutputFd.awaitReader}. */
  readonly fd: number;
  readonly #own: number | undefined;

  /** @param onWait Called some twenty times a second while a pipe takes nothing; what it throws ends the wait. */
  constructor(fd: number, readonly onWait: () => void) {
    this.#own = reopenPipe(fd);
    this.fd = this.#own ?? fd;
  }

  [Symbol.dispose](): void {
    if (this.#own !== undefined) close(this.#own);
  }

  /** Writes all of `bytes`. */
  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const count = tryWrite(this.fd, done === 0 ? bytes : bytes.subarray(done));
      if (count >= 0) done += count;
      else if (count === -ERRNO.EAGAIN) this.awaitReader();
      else if (count !== -ERRNO.EINTR) throw failure(-count, "write", this.fd, "…", bytes.length - done);
    }
  }

  awaitReader(): void {
    while (!waitUntilWritable(this.fd, LOOK_MS)) this.onWait();
  }
}

/**
 * A pipe once more, so that writing to it can be waited for and given up: O_NONBLOCK on the descriptor at hand would
 * change it for everybody who shares it. Undefined for everything else, and where it cannot be done.
 */
function reopenPipe(fd: number): number | undefined {
  if ((fstat(fd, new Stat()).mode & S_IFMT) !== S_IFIFO) return undefined;
  const own = tryOpenat(AT_FDCWD, `/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK);
  return own < 0 ? undefined : own;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Puts the content of files into an archive: this thread does it, or, when much has gone by, a second one.
 *
 * @module
 */

import type { Fd } from "../../ffi/file.ts";
import { StorageError } from "../errors.ts";
import { type ByteString, textOfBytes } from "../util/byte_string.ts";
import { type FdWriter, SENDFILE_FROM } from "../util/fd_writer.ts";
import { LAST, postRead } from "./_content_jobs.ts";
import { ContentThread } from "./_content_thread.ts";
import type { StartHelper } from "./helper_thread.ts";

/** Reads files one after the other. Disposing it waits until none of them is open any more. */
export class SourceFiles implements Disposable {
  readonly #output: FdWriter;
  readonly #start: StartHelper;
  readonly #tick: () => void;
  /** From this byte of the archive on a second thread reads. */
  readonly #secondThreadFrom: number;
  #thread: ContentThread | undefined;

  constructor(output: FdWriter, start: StartHelper, tick: () => void, secondThreadFrom: number) {
    this.#output = output;
    this.#start = start;
    this.#tick = tick;
    this.#secondThreadFrom = secondThreadFrom;
  }

  /** Puts the first `size` bytes of `file`, which is closed afterwards. */
  put(file: Fd, size: number, path: ByteString): void {
    if (this.#hasSecondThread() && (size < SENDFILE_FROM || !this.#output.bypassesBuffer)) {
      this.#handOver(file.release(), size, path);
    } else if (this.#output.copyFrom(file.fd, size, this.#tick) < size) {
      throw new StorageError(
        "system_error",
        `Cannot archive "${textOfBytes(path)}": it became shorter while it was read`,
      );
    }
  }

  [Symbol.dispose](): void {
    this.#thread?.[Symbol.dispose]();
  }

  #hasSecondThread(): boolean {
    if (this.#thread !== undefined) return this.#thread.isAlive;
    if (this.#output.position < this.#secondThreadFrom) return false;
    this.#thread = new ContentThread(this.#output.ring, this.#start, "Cannot archive", this.#tick);
    this.#output.setFiller(this.#thread);
    return false;
  }

  #handOver(fd: number, size: number, path: ByteString): void {
    const thread = this.#thread!;
    let left = size;
    try {
      this.#output.reservePieces(size, (offset, length) => {
        thread.check();
        postRead(thread.queue, fd, offset, length, left === length ? LAST : 0);
        left -= length;
        thread.note(path);
      });
    } finally {
      // Not closed here: jobs on it may wait in the queue, and the number would soon be another file's.
      if (left > 0) postRead(thread.queue, fd, 0, 0, LAST);
    }
  }
}

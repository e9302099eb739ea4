// SPDX-License-Identifier: Apache-2.0

/**
 * Fills the files that an archive brings: this thread does it, or, from a certain size of archive on, a second one.
 *
 * @module
 */

import { close } from "../../ffi/file.ts";
import { fchmod, futimens } from "../../ffi/owner.ts";
import type { ByteString } from "../util/byte_string.ts";
import { copyFile } from "../util/copy_file.ts";
import { type FdReader, SENDFILE_FROM } from "../util/fd_reader.ts";
import { CHMOD, CHOWN, LAST, postWrite } from "./_content_jobs.ts";
import { ContentThread } from "./_content_thread.ts";
import type { EntryOwners } from "./_entry_owner.ts";
import type { EntryXattrs } from "./_entry_xattrs.ts";
import type { TarEntry } from "./header.ts";
import type { StartHelper } from "./helper_thread.ts";
import type { TarReader } from "./reader.ts";

/** What a file still needs when it has its content. */
export interface Finish {
  owner: boolean;
  mode: boolean;
}

/** Fills files one after the other. Disposing it waits until none of them is open any more. */
export class NewFiles implements Disposable {
  readonly #input: FdReader;
  readonly #reader: TarReader;
  readonly #owners: EntryOwners;
  readonly #xattrs: EntryXattrs;
  readonly #start: StartHelper;
  readonly #tick: () => void;
  /** From this byte of the archive on a second thread writes. */
  readonly #secondThreadFrom: number;
  #thread: ContentThread | undefined;

  constructor(
    input: FdReader,
    reader: TarReader,
    owners: EntryOwners,
    xattrs: EntryXattrs,
    start: StartHelper,
    tick: () => void,
    secondThreadFrom: number,
  ) {
    this.#input = input;
    this.#reader = reader;
    this.#owners = owners;
    this.#xattrs = xattrs;
    this.#start = start;
    this.#tick = tick;
    // What is known to come need not be waited for.
    this.#secondThreadFrom = Math.max(0, secondThreadFrom - input.sizeHint);
  }

  /** Writes the entry's data to the new file `fd`, gives it what else the entry says, and closes it. */
  fill(fd: number, entry: TarEntry, path: ByteString, finish: Finish): void {
    if (this.#hasSecondThread() && this.#canHandOver(entry, finish)) this.#handOver(fd, entry, path, finish);
    else this.#finishHere(fd, entry, path, finish, () => this.#reader.copyData(fd, this.#tick));
  }

  /** As `fill`, with what the file `content` holds from its beginning on. */
  copy(fd: number, entry: TarEntry, path: ByteString, finish: Finish, content: number): void {
    this.#finishHere(fd, entry, path, finish, () => {
      copyFile(content, fd, entry.size, this.#tick);
    });
  }

  /** Waits until all files are filled. */
  settle(): void {
    this.#thread?.waitFor(this.#thread.posted);
  }

  /** @throws {StorageError} What went wrong in the second thread. */
  check(): void {
    this.#thread?.check();
  }

  [Symbol.dispose](): void {
    this.#thread?.[Symbol.dispose]();
  }

  #finishHere(fd: number, entry: TarEntry, path: ByteString, finish: Finish, fill: () => void): void {
    try {
      if (entry.size > 0) fill();
      if (finish.owner) this.#owners.giveOpen(fd, entry);
      if (entry.xattrs !== undefined) this.#xattrs.set(fd, path, this.#xattrs.of(entry));
      if (finish.mode) fchmod(fd, entry.mode);
      futimens(fd, entry.mtimeSeconds, entry.mtimeNanoseconds);
    } finally {
      close(fd);
    }
  }

  #hasSecondThread(): boolean {
    if (this.#thread !== undefined) return this.#thread.isAlive;
    if (this.#reader.position < this.#secondThreadFrom) return false;
    this.#thread = new ContentThread(this.#input.ring, this.#start, "Cannot unpack", this.#tick);
    this.#input.ring.addUser(this.#thread);
    return false;
  }

  /**
   * Attributes, holes and owners that may not be given are more than a job can say, and large files need not pass through
   * memory.
   */
  #canHandOver(entry: TarEntry, { owner }: Finish): boolean {
    return entry.xattrs === undefined && !this.#reader.isSparse && !(owner && this.#owners.ignoresErrors) &&
      (entry.size < SENDFILE_FROM || !this.#input.bypassesBuffer);
  }

  #handOver(fd: number, entry: TarEntry, path: ByteString, finish: Finish): void {
    const thread = this.#thread!;
    const flags = LAST | (finish.owner ? CHOWN : 0) | (finish.mode ? CHMOD : 0);
    let isOpen = true;
    try {
      this.#reader.handOver((offset, length, isLast) => {
        thread.check();
        postWrite(thread.queue, fd, offset, length, isLast ? flags : 0, entry);
        thread.note(path);
        isOpen = !isLast;
      });
    } finally {
      // Not closed here: jobs on it may wait in the queue, and the number would soon be another file's.
      if (isOpen) postWrite(thread.queue, fd, 0, 0, LAST, entry);
    }
  }
}

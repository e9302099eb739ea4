// SPDX-License-Identifier: Apache-2.0

/**
 * Which names of a directory came, went or changed hands since the last look, whoever did it. The kernel notes it before
 * the call that does it returns, so a look sees all that was finished by then.
 *
 * @module
 */

import { Fd, read } from "../../ffi/file.ts";
import {
  IN_CLOEXEC,
  IN_CREATE,
  IN_DELETE,
  IN_IGNORED,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_NONBLOCK,
  IN_ONLYDIR,
  IN_Q_OVERFLOW,
  inotify_add_watch,
  readEvents,
  tryInotifyInit1,
} from "../../ffi/inotify.ts";
import { waitUntilReadable } from "../../ffi/poll.ts";
import { textOf } from "./text.ts";

const EVENTS = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;

/** Filled and emptied within one call. */
const buffer = new Uint8Array(64 * 1024);

/** A directory that is watched until this is disposed. */
export class DirectoryWatch implements Disposable {
  readonly #events: Fd;

  private constructor(events: Fd) {
    this.#events = events;
  }

  /**
   * Begins to watch `path`; undefined where the user may watch no more, see inotify(7).
   *
   * @throws {SyscallError} There is no such directory.
   */
  static tryMake(path: string): DirectoryWatch | undefined {
    const fd = tryInotifyInit1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) return undefined;
    using events = new Fd(fd);
    inotify_add_watch(events.fd, path, EVENTS);
    return new DirectoryWatch(new Fd(events.release()));
  }

  /** The names since the last call; undefined if some were lost, or the directory is gone. */
  changedNames(): Set<string> | undefined {
    const names = new Set<string>();
    let isLost = false;
    while (waitUntilReadable(this.#events.fd, 0)) {
      const length = read(this.#events.fd, buffer);
      readEvents(buffer.subarray(0, length), (mask, start, end) => {
        if ((mask & (IN_Q_OVERFLOW | IN_IGNORED)) !== 0) isLost = true;
        else names.add(textOf(buffer.subarray(start, end)));
      });
    }
    return isLost ? undefined : names;
  }

  [Symbol.dispose](): void {
    this.#events[Symbol.dispose]();
  }
}

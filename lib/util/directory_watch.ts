// SPDX-License-Identifier: Apache-2.0

/**
 * Which names of a directory came, went or changed hands since the last look, whoever did it. The kernel notes it before
 * the call that does it returns, so a look sees all that was finished by then.
 *
 * @module
 */

import { ERRNO, failure } from "../../ffi/errno.ts";
import { Fd, tryRead } from "../../ffi/file.ts";
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
import { textOf } from "./text.ts";

const EVENTS = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;

/** Filled and emptied within one call. */
const buffer = new Uint8Array(64 * 1024);
/** What an event takes at most: its head, and a name of 255 bytes, with NULs up to a multiple of its head. */
const MOST_EVENT_BYTES = 16 + 256;

/** What happened to a name: `made` if that was among it, else `moved` if something got the name, else it only went. */
export type NameChange = "made" | "moved" | "went";

function changeIn(mask: number): NameChange {
  if ((mask & IN_CREATE) !== 0) return "made";
  return (mask & IN_MOVED_TO) !== 0 ? "moved" : "went";
}

const RANK: Record<NameChange, number> = { went: 0, moved: 1, made: 2 };

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
  changedNames(): Map<string, NameChange> | undefined {
    const names = new Map<string, NameChange>();
    let isLost = false;
    for (;;) {
      const length = tryRead(this.#events.fd, buffer);
      if (length === -ERRNO.EAGAIN) break;
      if (length < 0) throw failure(-length, "read", this.#events.fd, "…", buffer.length);
      readEvents(buffer.subarray(0, length), (mask, start, end) => {
        if ((mask & (IN_Q_OVERFLOW | IN_IGNORED)) !== 0) isLost = true;
        else note(names, textOf(buffer.subarray(start, end)), changeIn(mask));
      });
      // The kernel gives all that there is, as long as another one would fit.
      if (length <= buffer.length - MOST_EVENT_BYTES) break;
    }
    return isLost ? undefined : names;
  }

  [Symbol.dispose](): void {
    this.#events[Symbol.dispose]();
  }
}

function note(names: Map<string, NameChange>, name: string, change: NameChange): void {
  const before = names.get(name);
  if (before === undefined || RANK[change] > RANK[before]) names.set(name, change);
}

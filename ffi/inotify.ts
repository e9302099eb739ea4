// SPDX-License-Identifier: Apache-2.0
// deno-lint-ignore-file camelcase -- functions keep their C names

/**
 * Being told what happens in a directory: inotify(7).
 *
 * @module
 */

import { type CPath, cpath } from "./_cstring.ts";
import { lastErrno, libc } from "./_libc.ts";
import { failure, hex } from "./errno.ts";

export const IN_NONBLOCK = 0o4000;
export const IN_CLOEXEC = 0o2000000;
export const IN_MOVED_FROM = 0x40;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
/** Events were lost. */
export const IN_Q_OVERFLOW = 0x4000;
/** The watch ended: what it watched is gone. */
export const IN_IGNORED = 0x8000;
export const IN_ONLYDIR = 0x01000000;

/** Bytes of a `struct inotify_event` before its name. */
const EVENT_HEAD = 16;

/** `inotify_init1(flags)`: a descriptor, or a negative errno (EMFILE: the user has too many). */
export function tryInotifyInit1(flags: number): number {
  const fd = libc.inotify_init1(flags);
  return fd === -1 ? -lastErrno() : fd;
}

/** `inotify_add_watch(fd, path, mask)`: the watch's number. */
export function inotify_add_watch(fd: number, path: CPath, mask: number): number {
  const watch = libc.inotify_add_watch(fd, cpath(path), mask);
  if (watch === -1) throw failure(lastErrno(), "inotify_add_watch", fd, path, hex(mask));
  return watch;
}

/** Calls `visit` for each event in what was read: `[start, end)` holds the name, without the NULs behind it. */
export function readEvents(
  buffer: Uint8Array<ArrayBuffer>,
  visit: (mask: number, start: number, end: number) => void,
): void {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  for (let at = 0; at + EVENT_HEAD <= buffer.length;) {
    // struct inotify_event { int wd; uint32_t mask; uint32_t cookie; uint32_t len; char name[]; }
    const mask = view.getUint32(at + 4, true);
    const start = at + EVENT_HEAD;
    at = start + view.getUint32(at + 12, true);
    const nul = buffer.indexOf(0, start);
    visit(mask, start, nul === -1 || nul > at ? at : nul);
  }
}

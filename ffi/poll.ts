// SPDX-License-Identifier: Apache-2.0

/**
 * Waiting for a descriptor: poll(2).
 *
 * @module
 */

import { lastErrno, libc } from "./_libc.ts";
import { ERRNO, failure } from "./errno.ts";

const POLLIN = 0x1;
const POLLOUT = 0x4;

/** One `struct pollfd`: the descriptor, what is asked and what is answered. */
const pollfd = new Int32Array(2);

function poll(fd: number, events: number, timeoutMs: number): boolean {
  pollfd[0] = fd;
  pollfd[1] = events;
  const ready = libc.poll(pollfd, 1n, timeoutMs);
  if (ready !== -1) return ready > 0;
  const errno = lastErrno();
  if (errno === ERRNO.EINTR) return false;
  throw failure(errno, "poll", fd, events, timeoutMs);
}

/** Waits until read(2) of `fd` would not block: it has bytes, is at its end, or failed. False when the time is over. */
export function waitUntilReadable(fd: number, timeoutMs: number): boolean {
  return poll(fd, POLLIN, timeoutMs);
}

/** Waits until write(2) to `fd` would take something, or fail. False when the time is over. */
export function waitUntilWritable(fd: number, timeoutMs: number): boolean {
  return poll(fd, POLLOUT, timeoutMs);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Prototypes of the calls that tell of events: a part of the table in _libc.ts.
 *
 * @module
 */

/** <sys/inotify.h> and <poll.h>. */
export const EVENT_SYMBOLS = {
  // <sys/inotify.h>
  inotify_init1: { parameters: ["i32" /* int flags */], result: "i32" },
  inotify_add_watch: {
    parameters: ["i32", /* int fd */ "buffer", /* const char *pathname */ "u32" /* uint32_t mask */],
    result: "i32",
  },
  // <poll.h>
  poll: {
    parameters: ["buffer", /* struct pollfd *fds */ "usize", /* nfds_t nfds */ "i32" /* int timeout */],
    result: "i32",
  },
} as const satisfies Record<string, Deno.ForeignFunction>;

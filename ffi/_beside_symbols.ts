// SPDX-License-Identifier: Apache-2.0

/**
 * Prototypes of calls that run beside the thread, while it goes on: a part of the table in _libc.ts.
 *
 * Deno runs each on a thread of a pool. The errno stays with that one, so that such a call answers with yes or no; its caller
 * asks again, in its own thread, for why it was no. And it must not let go of what the call reads before it returned.
 *
 * @module
 */

/** <fcntl.h>, <sys/mount.h> */
export const BESIDE_SYMBOLS = {
  sync_file_range_beside: {
    name: "sync_file_range",
    parameters: ["i32", /* int fd */ "i64", /* off_t offset */ "i64", /* off_t nbytes */ "u32" /* unsigned flags */],
    result: "i32",
    nonblocking: true,
  },
  umount2_beside: {
    name: "umount2",
    parameters: ["buffer", /* const char *target */ "i32" /* int flags */],
    result: "i32",
    nonblocking: true,
  },
} as const satisfies Record<string, Deno.ForeignFunction>;

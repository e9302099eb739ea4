// SPDX-License-Identifier: Apache-2.0

/**
 * Prototypes of the calls that make and end child processes: a part of the table in _libc.ts.
 *
 * @module
 */

/** <sched.h>, <signal.h>, <sys/wait.h>. */
export const CHILD_SYMBOLS = {
  clone: {
    parameters: [
      "pointer", /* int (*fn)(void *) */
      "pointer", /* void *stack, its upper end */
      "i32", /* int flags */
      "usize", /* void *arg */
    ],
    result: "i32",
  },
  kill: { parameters: ["i32", /* pid_t pid */ "i32" /* int sig */], result: "i32" },
  waitpid: {
    parameters: ["i32", /* pid_t pid */ "pointer", /* int *wstatus, NULL */ "i32" /* int options */],
    result: "i32",
  },
} as const;

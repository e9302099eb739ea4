// SPDX-License-Identifier: Apache-2.0

/**
 * Prototypes of the calls that quotas take: a part of the table in _libc.ts.
 *
 * @module
 */

/** <sys/ioctl.h>, <sys/quota.h>, and quotactl_fd(2), which has no wrapper in glibc 2.36. */
export const QUOTA_SYMBOLS = {
  ioctl: {
    parameters: ["i32", /* int fd */ "usize", /* unsigned long op */ "buffer" /* void *argp */],
    result: "i32",
  },
  quotactl: {
    parameters: [
      "i32", /* int op */
      "buffer", /* const char *special */
      "u32", /* int id */
      "buffer", /* caddr_t addr */
    ],
    result: "i32",
  },
  quotactl_fd: {
    name: "syscall",
    parameters: [
      "i64", /* SYS_quotactl_fd */
      "i32", /* unsigned int fd */
      "i32", /* unsigned int op */
      "u32", /* qid_t id */
      "buffer", /* void *addr */
    ],
    result: "i32",
  },
} as const satisfies Record<string, Deno.ForeignFunction>;

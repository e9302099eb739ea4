// SPDX-License-Identifier: Apache-2.0

/**
 * Prototypes of the calls that mount: a part of the table in _libc.ts.
 *
 * @module
 */

/** <sys/mount.h>, and the calls behind fsopen(2), which have no wrappers in glibc 2.31. */
export const MOUNT_SYMBOLS = {
  mount: {
    parameters: [
      "buffer", /* const char *source */
      "buffer", /* const char *target */
      "buffer", /* const char *filesystemtype */
      "usize", /* unsigned long mountflags */
      "buffer", /* const void *data */
    ],
    result: "i32",
  },
  umount2: { parameters: ["buffer", /* const char *target */ "i32" /* int flags */], result: "i32" },
  fsopen: {
    name: "syscall",
    parameters: ["i64", /* SYS_fsopen */ "buffer", /* const char *fsname */ "u32" /* unsigned int flags */],
    result: "i32",
  },
  fsconfig: {
    name: "syscall",
    parameters: [
      "i64", /* SYS_fsconfig */
      "i32", /* int fs_fd */
      "u32", /* unsigned int cmd */
      "buffer", /* const char *key */
      "buffer", /* const void *value */
      "i32", /* int aux */
    ],
    result: "i32",
  },
  fsmount: {
    name: "syscall",
    parameters: [
      "i64", /* SYS_fsmount */
      "i32", /* int fs_fd */
      "u32", /* unsigned int flags */
      "u32", /* unsigned int attr_flags */
    ],
    result: "i32",
  },
  move_mount: {
    name: "syscall",
    parameters: [
      "i64", /* SYS_move_mount */
      "i32", /* int from_dfd */
      "buffer", /* const char *from_pathname */
      "i32", /* int to_dfd */
      "buffer", /* const char *to_pathname */
      "u32", /* unsigned int flags */
    ],
    result: "i32",
  },
  open_tree: {
    name: "syscall",
    parameters: [
      "i64", /* SYS_open_tree */
      "i32", /* int dfd */
      "buffer", /* const char *filename */
      "u32", /* unsigned int flags */
    ],
    result: "i32",
  },
  mount_setattr: {
    name: "syscall",
    parameters: [
      "i64", /* SYS_mount_setattr */
      "i32", /* int dfd */
      "buffer", /* const char *path */
      "u32", /* unsigned int flags */
      "buffer", /* struct mount_attr *uattr */
      "usize", /* size_t usize */
    ],
    result: "i32",
  },
} as const;

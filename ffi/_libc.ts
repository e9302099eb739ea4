// SPDX-License-Identifier: Apache-2.0

/**
 * The only `Deno.dlopen` of the program: one table of C prototypes, each symbol opened at its first use.
 *
 * Opening costs about 0.1 ms a symbol, so a command that mounts does not pay for the calls that unpack. The types
 * follow the fast call path of Deno's FFI: C parameters of 64 bits are `i64` or `usize` and given as bigint, never a
 * negative `i32` (a hot call would zero-extend it); results that Linux caps below 2^31 are `i32`.
 *
 * @module
 */

import { BESIDE_SYMBOLS } from "./_beside_symbols.ts";
import { CHILD_SYMBOLS } from "./_child_symbols.ts";
import { EVENT_SYMBOLS } from "./_event_symbols.ts";
import { MOUNT_SYMBOLS } from "./_mount_symbols.ts";
import { QUOTA_SYMBOLS } from "./_quota_symbols.ts";
import { SOCKET_SYMBOLS } from "./_socket_symbols.ts";

const IS_ARM64 = Deno.build.arch === "aarch64";

/** System calls without a wrapper in glibc 2.36: their numbers, x86-64 and aarch64 (asm/unistd.h of each). */
export const SYS = {
  statx: IS_ARM64 ? 291n : 332n,
  getdents64: IS_ARM64 ? 61n : 217n,
  open_tree: 428n,
  move_mount: 429n,
  fsopen: 430n,
  fsconfig: 431n,
  fsmount: 432n,
  openat2: 437n,
  mount_setattr: 442n,
  quotactl_fd: 443n,
  listxattrat: 465n,
} as const;

const SYMBOLS = {
  // <fcntl.h>, <unistd.h>
  openat: {
    parameters: [
      "i32", /* int dirfd */
      "buffer", /* const char *path */
      "i32", /* int flags */
      "u32", /* mode_t mode */
    ],
    result: "i32",
  },
  openat2: {
    name: "syscall",
    parameters: [
      "i64", /* SYS_openat2 */
      "i32", /* int dirfd */
      "buffer", /* const char *path */
      "buffer", /* struct open_how *how */
      "usize", /* size_t size */
    ],
    result: "i32",
  },
  close: { parameters: ["i32" /* int fd */], result: "i32" },
  read: { parameters: ["i32", /* int fd */ "buffer", /* void *buf */ "usize" /* size_t count */], result: "i32" },
  write: {
    parameters: ["i32", /* int fd */ "buffer", /* const void *buf */ "usize" /* size_t count */],
    result: "i32",
  },
  ...EVENT_SYMBOLS,
  ...SOCKET_SYMBOLS,
  lseek: { parameters: ["i32", /* int fd */ "i64", /* off_t offset */ "i32" /* int whence */], result: "i64" },
  ftruncate: { parameters: ["i32", /* int fd */ "i64" /* off_t length */], result: "i32" },
  fsync: { parameters: ["i32" /* int fd */], result: "i32" },
  fdatasync: { parameters: ["i32" /* int fd */], result: "i32" },
  syncfs: { parameters: ["i32" /* int fd */], result: "i32" },
  sync_file_range: {
    parameters: ["i32", /* int fd */ "i64", /* off_t offset */ "i64", /* off_t nbytes */ "u32" /* unsigned flags */],
    result: "i32",
  },
  copy_file_range: {
    parameters: [
      "i32", /* int fd_in */
      "pointer", /* off_t *off_in, NULL */
      "i32", /* int fd_out */
      "pointer", /* off_t *off_out, NULL */
      "usize", /* size_t len */
      "u32", /* unsigned flags */
    ],
    result: "i32",
  },
  sendfile: {
    parameters: [
      "i32", /* int out_fd */
      "i32", /* int in_fd */
      "pointer", /* off_t *offset, NULL */
      "usize", /* size_t count */
    ],
    result: "i32",
  },
  pipe2: { parameters: ["buffer", /* int pipefd[2] */ "i32" /* int flags */], result: "i32" },
  fcntl_int: {
    name: "fcntl",
    parameters: ["i32", /* int fd */ "i32", /* int op */ "i32" /* int arg */],
    result: "i32",
  },
  isatty: { parameters: ["i32" /* int fd */], result: "i32" },
  linkat: {
    parameters: [
      "i32", /* int olddirfd */
      "buffer", /* oldpath */
      "i32", /* int newdirfd */
      "buffer", /* newpath */
      "i32", /* int flags */
    ],
    result: "i32",
  },
  symlinkat: {
    parameters: ["buffer", /* const char *target */ "i32", /* int newdirfd */ "buffer" /* linkpath */],
    result: "i32",
  },
  readlinkat: {
    parameters: [
      "i32", /* int dirfd */
      "buffer", /* const char *path */
      "buffer", /* char *buf */
      "usize", /* size_t bufsiz */
    ],
    result: "i32",
  },
  unlinkat: {
    parameters: ["i32", /* int dirfd */ "buffer", /* const char *path */ "i32" /* int flags */],
    result: "i32",
  },
  renameat2: {
    parameters: [
      "i32", /* int olddirfd */
      "buffer", /* const char *oldpath */
      "i32", /* int newdirfd */
      "buffer", /* const char *newpath */
      "u32", /* unsigned int flags */
    ],
    result: "i32",
  },
  mkdirat: {
    parameters: ["i32", /* int dirfd */ "buffer", /* const char *path */ "u32" /* mode_t mode */],
    result: "i32",
  },
  mknodat: {
    parameters: [
      "i32", /* int dirfd */
      "buffer", /* const char *path */
      "u32", /* mode_t mode */
      "u64", /* dev_t dev */
    ],
    result: "i32",
  },
  faccessat: {
    parameters: ["i32", /* int dirfd */ "buffer", /* const char *path */ "i32", /* int mode */ "i32" /* int flags */],
    result: "i32",
  },
  getdents64: {
    name: "syscall",
    parameters: ["i64", /* SYS_getdents64 */ "i32", /* int fd */ "buffer", /* void *dirp */ "usize" /* size_t count */],
    result: "i32",
  },

  // <sys/stat.h>, <sys/vfs.h>
  statx: {
    parameters: [
      "i32", /* int dirfd */
      "buffer", /* const char *path */
      "i32", /* int flags */
      "u32", /* unsigned int mask */
      "buffer", /* struct statx *statxbuf */
    ],
    result: "i32",
  },
  statfs: { parameters: ["buffer", /* const char *path */ "buffer" /* struct statfs *buf */], result: "i32" },
  fstatfs: { parameters: ["i32", /* int fd */ "buffer" /* struct statfs *buf */], result: "i32" },
  fchmod: { parameters: ["i32", /* int fd */ "u32" /* mode_t mode */], result: "i32" },
  fchmodat: {
    parameters: [
      "i32", /* int dirfd */
      "buffer", /* const char *path */
      "u32", /* mode_t mode */
      "i32", /* int flags */
    ],
    result: "i32",
  },
  fchown: { parameters: ["i32", /* int fd */ "u32", /* uid_t owner */ "u32" /* gid_t group */], result: "i32" },
  fchownat: {
    parameters: [
      "i32", /* int dirfd */
      "buffer", /* const char *path */
      "u32", /* uid_t owner */
      "u32", /* gid_t group */
      "i32", /* int flags */
    ],
    result: "i32",
  },
  futimens: { parameters: ["i32", /* int fd */ "buffer" /* const struct timespec times[2] */], result: "i32" },
  utimensat: {
    parameters: [
      "i32", /* int dirfd */
      "buffer", /* const char *path */
      "buffer", /* const struct timespec times[2] */
      "i32", /* int flags */
    ],
    result: "i32",
  },

  // <sys/xattr.h>
  fgetxattr: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* const char *name */
      "buffer", /* void *value */
      "usize", /* size_t size */
    ],
    result: "i32",
  },
  lgetxattr: {
    parameters: [
      "buffer", /* const char *path */
      "buffer", /* const char *name */
      "buffer", /* void *value */
      "usize", /* size_t size */
    ],
    result: "i32",
  },
  fsetxattr: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* const char *name */
      "buffer", /* const void *value */
      "usize", /* size_t size */
      "i32", /* int flags */
    ],
    result: "i32",
  },
  lsetxattr: {
    parameters: [
      "buffer", /* const char *path */
      "buffer", /* const char *name */
      "buffer", /* const void *value */
      "usize", /* size_t size */
      "i32", /* int flags */
    ],
    result: "i32",
  },
  listxattrat: {
    name: "syscall",
    parameters: [
      "i64", /* SYS_listxattrat */
      "i32", /* int dirfd */
      "buffer", /* const char *path */
      "u32", /* unsigned at_flags */
      "buffer", /* char *list */
      "usize", /* size_t size */
    ],
    result: "i32",
  },
  flistxattr: { parameters: ["i32", /* int fd */ "buffer", /* char *list */ "usize" /* size_t size */], result: "i32" },
  llistxattr: {
    parameters: ["buffer", /* const char *path */ "buffer", /* char *list */ "usize" /* size_t size */],
    result: "i32",
  },
  lremovexattr: { parameters: ["buffer", /* const char *path */ "buffer" /* const char *name */], result: "i32" },

  ...MOUNT_SYMBOLS,
  ...BESIDE_SYMBOLS,
  ...QUOTA_SYMBOLS,

  // <unistd.h>, <sys/file.h>, <sched.h>
  flock: { parameters: ["i32", /* int fd */ "i32" /* int operation */], result: "i32" },
  getpagesize: { parameters: [], result: "i32" },
  geteuid: { parameters: [], result: "u32" },
  getegid: { parameters: [], result: "u32" },
  umask: { parameters: ["u32" /* mode_t mask */], result: "u32" },
  chroot: { parameters: ["buffer" /* const char *path */], result: "i32" },
  ...CHILD_SYMBOLS,
} as const satisfies Record<string, Deno.ForeignFunction>;

type Symbols = typeof SYMBOLS;
type Name = keyof Symbols;
type Call<N extends Name> = Deno.StaticForeignSymbol<Symbols[N]> & CallableFunction;
/** The C library as typed functions. */
export type Libc = { -readonly [N in Name]: Call<N> };

const LIBRARY = "libc.so.6";

/** The errno of this thread, or a cell that is never read while no symbol is open. */
let errnoCell = new Int32Array(1);

function openErrnoCell(): Int32Array<ArrayBuffer> {
  const { symbols } = Deno.dlopen(LIBRARY, { __errno_location: { parameters: [], result: "pointer" } });
  const location = symbols.__errno_location();
  if (location === null) throw new TypeError("__errno_location returned NULL");
  return new Int32Array(Deno.UnsafePointerView.getArrayBuffer(location, 4));
}

/**
 * The errno that the last failed call of this thread left. It is true only as the very next thing after that call:
 * whatever runs between (an allocation is enough) may make system calls of its own.
 */
export function lastErrno(): number {
  return errnoCell[0]!;
}

let opened = 0;

function open<N extends Name>(name: N): Call<N> {
  if (opened === 0) errnoCell = openErrnoCell();
  opened++;
  // Deno.dlopen takes several entries a library; one entry each is what makes first use pay for itself only.
  const library = Deno.dlopen(LIBRARY, { [name]: SYMBOLS[name] });
  return (library.symbols as unknown as Record<N, Call<N>>)[name];
}

/** Each entry starts as a stub that opens the symbol and puts it in its own place: the same hidden class before and after. */
function stub<N extends Name>(name: N): Call<N> {
  const first = (...args: unknown[]): unknown => {
    const symbol = open(name);
    (libc as Record<Name, unknown>)[name] = symbol;
    return (symbol as unknown as (...args: unknown[]) => unknown)(...args);
  };
  return first as unknown as Call<N>;
}

/** The symbols, each bound at its first call. */
export const libc: Libc = Object.fromEntries(
  (Object.keys(SYMBOLS) as Name[]).map((name) => [name, stub(name)]),
) as unknown as Libc;

/**
 * Where sleep(3) is, for a call that takes a function. Deno tells the address of what it is told is data; asking dlsym(3)
 * would not do, which older C libraries have elsewhere.
 */
export function addressOfSleep(): Deno.PointerValue {
  return (sleepAddress ??= Deno.dlopen(LIBRARY, { sleep: { type: "pointer" } }).symbols.sleep as Deno.PointerValue);
}

let sleepAddress: Deno.PointerValue = null;

/** Binds every symbol now. For tests, whose leak check would otherwise see a library appear in the middle of one. */
export function openAllSymbols(): void {
  for (const name of Object.keys(SYMBOLS) as Name[]) (libc as Record<Name, unknown>)[name] = open(name);
  addressOfSleep();
}

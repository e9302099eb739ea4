// SPDX-License-Identifier: Apache-2.0

/**
 * Failed system calls as errors. A wrapper reads errno by `lastErrno()` as the first argument of {@linkcode failure},
 * which JavaScript evaluates before it builds anything else.
 *
 * @module
 */

/** errno numbers of Linux (asm-generic/errno-base.h, asm-generic/errno.h), the same on x86-64 and aarch64. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  ENOTBLK: 15,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  ECONNABORTED: 103,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  ESTALE: 116,
  EUCLEAN: 117,
  EDQUOT: 122,
  ECANCELED: 125,
} as const;

/** A symbolic errno name, as printed by errno(1). */
export type ErrnoCode = keyof typeof ERRNO;

const CODE_OF = new Map<number, ErrnoCode>(
  Object.entries(ERRNO).map(([code, errno]) => [errno, code as ErrnoCode]),
);

/**
 * A system call that failed. The message is the call as strace(1) prints it, so that an operator can look it up:
 * `mount("overlay", "/x/merged", "overlay", 0x0, "lowerdir=…"): EINVAL`.
 */
export class SyscallError extends Error {
  /** Name of the call, as in section 2 of the manual. */
  readonly syscall: string;
  /** The error number. */
  readonly errno: number;
  /** The symbolic name, `EINVAL`; `E<number>` for one that this table lacks. */
  readonly code: string;

  constructor(syscall: string, errno: number, args: readonly unknown[]) {
    const code = CODE_OF.get(errno) ?? `E${errno}`;
    super(`${syscall}(${args.map(formatArgument).join(", ")}): ${code}`);
    this.name = "SyscallError";
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
  }
}

/** Numbers stand for themselves; numbers that are flags come as {@linkcode hex} or {@linkcode octal} strings already. */
class Literal {
  constructor(readonly text: string) {}
}

/** A flags argument in an error message. */
export function hex(flags: number): unknown {
  return new Literal(`0x${flags.toString(16)}`);
}

/** A mode argument in an error message. */
export function octal(mode: number): unknown {
  return new Literal(`0${mode.toString(8)}`);
}

const LONGEST_ARGUMENT = 300;

function formatArgument(argument: unknown): string {
  if (argument instanceof Literal) return argument.text;
  if (argument === null || argument === undefined) return "NULL";
  if (argument instanceof Uint8Array) {
    const end = argument.indexOf(0);
    argument = new TextDecoder().decode(end === -1 ? argument : argument.subarray(0, end));
  }
  if (typeof argument !== "string") return String(argument);
  const shown = argument.length > LONGEST_ARGUMENT ? argument.slice(0, LONGEST_ARGUMENT) + "…" : argument;
  return JSON.stringify(shown);
}

/** The error for a call that just failed: `throw failure(lastErrno(), "close", fd)`. */
export function failure(errno: number, syscall: string, ...args: unknown[]): SyscallError {
  return new SyscallError(syscall, errno, args);
}

/** Whether `error` is a failed system call, with one of these codes if there are any. */
export function isErrno(error: unknown, ...codes: ErrnoCode[]): error is SyscallError {
  return error instanceof SyscallError && (codes.length === 0 || (codes as string[]).includes(error.code));
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The one error type of the library. Code asks for its `code`; people read its message and hint.
 *
 * @module
 */

import { isErrno } from "../ffi/errno.ts";

/** Why an operation failed. Codes are only ever added. */
export type StorageErrorCode =
  | "aborted" //                 the caller's signal ended it
  | "agent_unreachable" //       nobody answers on its socket, or the connection broke
  | "incompatible_filesystem" // the home's file system cannot carry overlay layers
  | "invalid_archive" //         damaged, cut short, or not a tar at all
  | "invalid_argument" //        an option, id or number that can never be right
  | "layer_exists" //            create of an id that is taken
  | "layer_in_use" //            mounted, or the parent of another layer
  | "layer_not_empty" //         applyDiff onto a layer that already has content
  | "layer_not_found" //
  | "limit_exceeded" //          an archive asks for more than one may
  | "max_depth_exceeded" //      more lower layers than the driver stacks
  | "mount_failed" //            the kernel refused a mount
  | "no_space" //                no byte or no inode left
  | "not_supported" //           this driver, kernel or platform cannot
  | "output_closed" //           who reads the output went away
  | "parent_not_found" //
  | "permission_denied" //       needs root or a capability
  | "prior_driver_conflict" //   the root holds layers of several drivers
  | "quota_exceeded" //
  | "socket_in_use" //           another agent listens there
  | "store_damaged" //           the files on disk contradict each other
  | "store_read_only" //         the file system is mounted read-only
  | "system_error" //            any other refusal of the kernel; `cause` is the call
  | "unsafe_path"; //            a name that leads, or wants to lead, out of its root

/** What goes with a message. */
export interface StorageErrorOptions extends ErrorOptions {
  /** One sentence on what the user can do about it. */
  hint?: string;
}

/**
 * An operation on a layer store that failed.
 *
 * @example Telling failures apart
 * ```ts
 * import { StorageError } from "lamina";
 *
 * const error = new StorageError("layer_not_found", 'Cannot mount layer "web": there is no such layer');
 * if (error.code !== "layer_not_found") throw error;
 * ```
 */
export class StorageError extends Error {
  /** The reason, from a closed list. */
  readonly code: StorageErrorCode;
  /** What the user can do about it, where that is known. */
  readonly hint: string | undefined;

  /** An error that says what was tried, on what, and why it failed. */
  constructor(code: StorageErrorCode, message: string, options: StorageErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "StorageError";
    this.code = code;
    this.hint = options.hint;
  }
}

/** Whether `error` is a {@linkcode StorageError} with one of these codes. */
export function isStorageError(error: unknown, ...codes: StorageErrorCode[]): error is StorageError {
  return error instanceof StorageError && (codes.length === 0 || codes.includes(error.code));
}

/**
 * `error` as a {@linkcode StorageError}: one stays what it is, a failed system call gets the code its errno stands for.
 *
 * @param action What was tried on what, as the beginning of a sentence: `Cannot remove layer "web"`.
 */
export function asStorageError(error: unknown, action: string): StorageError {
  if (error instanceof StorageError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  const message = `${action}: ${reason}`;
  if (isErrno(error, "ENOSPC")) {
    return new StorageError("no_space", message, {
      cause: error,
      hint: "free some space or inodes (df -h, df -i) and try again",
    });
  }
  if (isErrno(error, "EDQUOT")) return new StorageError("quota_exceeded", message, { cause: error });
  if (isErrno(error, "EROFS")) return new StorageError("store_read_only", message, { cause: error });
  if (isErrno(error, "EPERM", "EACCES")) {
    return new StorageError("permission_denied", message, {
      cause: error,
      hint: "run as root (mounts and owners need CAP_SYS_ADMIN and CAP_CHOWN)",
    });
  }
  // What the kernel says of an id that has no number in the user namespace.
  if (isErrno(error, "EINVAL") && error.syscall.startsWith("fchown")) {
    return new StorageError("permission_denied", `${action}: this user namespace lacks the owner: ${reason}`, {
      cause: error,
      hint: "give the user more ids (/etc/subuid, /etc/subgid, newuidmap), or run as root outside of a user namespace",
    });
  }
  if (isErrno(error, "EUCLEAN")) return new StorageError("store_damaged", message, { cause: error });
  if (error instanceof DOMException && error.name === "AbortError") {
    return new StorageError("aborted", message, { cause: error });
  }
  return new StorageError("system_error", message, { cause: error });
}

/** The error for an archive that nobody reads to its end. */
export function outputClosed(cause: unknown): StorageError {
  return new StorageError("output_closed", "Cannot write the archive: who read it went away", { cause });
}

/** The first failed system call behind `error`, however deep it is wrapped. */
export function rootCause(error: unknown): unknown {
  let cause = error;
  while (cause instanceof Error && cause.cause !== undefined) cause = cause.cause;
  return cause;
}

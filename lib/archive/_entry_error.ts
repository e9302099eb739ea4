// SPDX-License-Identifier: Apache-2.0

/**
 * Errors of one entry, in words that name it.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { type ByteString, textOfBytes } from "../util/byte_string.ts";

/** What the kernel says of a name that only the archive can be blamed for. */
const ARCHIVES_FAULT = ["ENAMETOOLONG", "ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "EMLINK"] as const;

/** `error`, which came of unpacking the entry `unsafePath`. */
export function entryError(error: unknown, unsafePath: ByteString): StorageError {
  if (error instanceof StorageError) return error;
  const action = `Cannot unpack "${textOfBytes(unsafePath)}"`;
  if (isErrno(error, ...ARCHIVES_FAULT)) {
    return new StorageError("invalid_archive", `${action}: ${error.message}`, { cause: error });
  }
  if (isErrno(error, "EBUSY", "EXDEV")) {
    return new StorageError("layer_in_use", `${action}: something is mounted where it goes: ${error.message}`, {
      cause: error,
      hint: "unmount what is mounted inside the tree (findmnt shows it) and try again",
    });
  }
  return asStorageError(error, action);
}

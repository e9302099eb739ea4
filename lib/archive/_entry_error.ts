// SPDX-License-Identifier: Apache-2.0

/**
 * Errors of one entry, in words that name it.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { type ByteString, byteString, textOfBytes } from "../util/byte_string.ts";

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

/** The error for the device that would be a whiteout. */
export function whiteoutDevice(path: ByteString): StorageError {
  return new StorageError(
    "invalid_archive",
    `Cannot unpack "${textOfBytes(path)}": a character device 0:0 would hide a file of the layers below`,
    { hint: "in a tar a deleted file is an entry named .wh.NAME" },
  );
}

/** The error for an entry in a directory that cannot be one. */
export function belowWhiteout(path: ByteString): StorageError {
  return new StorageError("invalid_archive", `Cannot unpack "${textOfBytes(path)}": it lies below a whiteout`);
}

/** The error for a device where the caller wants none. */
export function deviceRefused(path: ByteString): StorageError {
  return new StorageError("permission_denied", `Cannot unpack "${textOfBytes(path)}": devices are refused`, {
    hint: "do not ask to refuse devices if you trust this archive",
  });
}

/**
 * The error for what would remove a directory that is to stay.
 *
 * @param leaf Its name, with a NUL.
 */
export function directoryInTheWay(parent: ByteString, leaf: Uint8Array): StorageError {
  const path = textOfBytes(`${parent === "" ? "" : `${parent}/`}${byteString(leaf, 0, leaf.indexOf(0))}`);
  return new StorageError("invalid_argument", `Cannot replace "${path}", which is a directory, by something else`, {
    hint: "remove it first",
  });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What is said of archives that cannot be read.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { type ByteString, textOfBytes } from "../util/byte_string.ts";

/** The error for bytes that are no tar. */
export function invalidArchive(message: string): StorageError {
  return new StorageError("invalid_archive", `Cannot read the archive: ${message}`);
}

/** The error for an archive that ends too early. */
export function cutShort(what: string, excuse = ""): StorageError {
  return new StorageError("invalid_archive", `Cannot read the archive: it ends in the middle of ${what}`, {
    hint: `the archive was cut short; fetch or make it again${excuse}`,
  });
}

/** The error for one entry. */
export function invalidEntry(unsafePath: ByteString, reason: string): StorageError {
  return new StorageError("invalid_archive", `Cannot read "${textOfBytes(unsafePath)}": ${reason}`);
}

/** The error for an entry that may be right, and that nothing here can make of what it is. */
export function unsupportedEntry(unsafePath: ByteString, reason: string, hint: string): StorageError {
  return new StorageError("not_supported", `Cannot read "${textOfBytes(unsafePath)}": ${reason}`, { hint });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The values of pax records, and what is said of a wrong one.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { type ByteString, textOfBytes } from "../util/byte_string.ts";

/** The error for a pax header that is not what POSIX.1-2001, or whoever invented a record, says. */
export function invalidPax(message: string): StorageError {
  return new StorageError("invalid_archive", `Cannot read a pax header: ${message}`);
}

/** A count in decimal digits. */
export function paxNumber(key: ByteString, value: ByteString): number {
  const number = /^\d{1,16}$/.test(value) ? Number(value) : NaN;
  if (!Number.isSafeInteger(number)) {
    throw invalidPax(`record "${textOfBytes(key)}" is no number: ${JSON.stringify(value.slice(0, 40))}`);
  }
  return number;
}

/** A name for the kernel. */
export function paxName(key: ByteString, value: ByteString): ByteString {
  if (value.includes("\0")) throw invalidPax(`record "${textOfBytes(key)}" contains NUL`);
  return value;
}

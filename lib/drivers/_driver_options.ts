// SPDX-License-Identifier: Apache-2.0

/**
 * Options as all drivers take them: `KEY=VALUE`, and those of a single layer.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { parseSize } from "../units.ts";

/**
 * Splits `KEY=VALUE`; the key comes back in small letters.
 *
 * @throws {StorageError} `invalid_argument`: no `=`.
 */
export function splitOption(option: string): [key: string, value: string] {
  const equals = option.indexOf("=");
  if (equals === -1) {
    throw new StorageError("invalid_argument", `Cannot read the storage option "${option}": write KEY=VALUE`);
  }
  return [option.slice(0, equals).trim().toLowerCase(), option.slice(equals + 1).trim()];
}

const TRUE = new Set(["1", "t", "true"]);
const FALSE = new Set(["0", "f", "false"]);

/** @throws {StorageError} `invalid_argument`. */
export function parseBoolean(key: string, value: string): boolean {
  const word = value.toLowerCase();
  if (TRUE.has(word)) return true;
  if (FALSE.has(word)) return false;
  throw new StorageError("invalid_argument", `Cannot use "${value}" for the option ${key}: write true or false`);
}

/** Checks the options of one layer: `size`, which is for layers that are written in. */
export function checkLayerOptions(options: Readonly<Record<string, string>> | undefined, isReadWrite: boolean): void {
  for (const [key, value] of Object.entries(options ?? {})) {
    if (key.toLowerCase() !== "size") {
      throw new StorageError("invalid_argument", `Unknown option ${key}`, { hint: "a layer has one option: size" });
    }
    const sizeBytes = parseSize(value);
    if (!isReadWrite) {
      throw new StorageError("not_supported", "The option size is only supported for read-write layers");
    }
    if (sizeBytes > 0) throw quotaNotSupported("size");
  }
}

/** The error for a limit that is asked for. */
export function quotaNotSupported(option: string): StorageError {
  return new StorageError(
    "not_supported",
    `Cannot limit layers with the option ${option}: this version sets no project quotas`,
    {
      hint: "leave the option out, or give 0",
    },
  );
}

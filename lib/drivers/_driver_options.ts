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

/**
 * Reads the options of one layer: `size`, which is for layers that are written in.
 *
 * @param defaultBytes The limit of such a layer that is given none.
 * @returns The limit in bytes; 0 for none.
 */
export function sizeLimitOf(
  options: Readonly<Record<string, string>> | undefined,
  isReadWrite: boolean,
  defaultBytes: number,
): number {
  let limitBytes = isReadWrite ? defaultBytes : 0;
  for (const [key, value] of Object.entries(options ?? {})) {
    if (key.toLowerCase() !== "size") {
      throw new StorageError("invalid_argument", `Unknown option ${key}`, { hint: "a layer has one option: size" });
    }
    limitBytes = parseSize(value);
    if (!isReadWrite) {
      throw new StorageError("not_supported", "The option size is only supported for read-write layers");
    }
  }
  return limitBytes;
}

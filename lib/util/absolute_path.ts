// SPDX-License-Identifier: Apache-2.0

/**
 * Paths from people.
 *
 * @module
 */

import { resolve } from "node:path/posix";
import { StorageError } from "../errors.ts";

/**
 * `path` from the root of the file system, without `.`, `..` and double slashes.
 *
 * @throws {StorageError} `invalid_argument`: empty, or with NUL.
 */
export function absolutePath(path: string): string {
  if (path === "" || path.includes("\0")) {
    throw new StorageError("invalid_argument", `Cannot use ${JSON.stringify(path)} as a path`);
  }
  return resolve(path);
}

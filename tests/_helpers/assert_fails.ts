// SPDX-License-Identifier: Apache-2.0

/**
 * Failing operations of the library.
 *
 * @module
 */

import { StorageError, type StorageErrorCode } from "../../lib/errors.ts";
import { assertEquals, assertRejects } from "./std_assert.ts";

/** Fails unless `action` fails with this code; returns the error. */
export async function assertFails(action: Promise<unknown>, code: StorageErrorCode): Promise<StorageError> {
  const error = await assertRejects(() => action, StorageError);
  assertEquals(error.code, code, error.message);
  return error;
}

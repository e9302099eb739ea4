// SPDX-License-Identifier: Apache-2.0

/**
 * Failing system calls.
 *
 * @module
 */

import { type ErrnoCode, SyscallError } from "../../ffi/errno.ts";
import { assertEquals, assertRejects, assertThrows } from "./std_assert.ts";

/** Fails unless `fn` throws a {@linkcode SyscallError} with this code; returns it. */
export function assertErrno(fn: () => unknown, code: ErrnoCode): SyscallError {
  const error = assertThrows(fn, SyscallError);
  assertEquals(error.code, code, error.message);
  return error;
}

/** The same of what `promise` rejects with. */
export async function assertErrnoOf(promise: Promise<unknown>, code: ErrnoCode): Promise<void> {
  const error = await assertRejects(() => promise, SyscallError);
  assertEquals(error.code, code, error.message);
}

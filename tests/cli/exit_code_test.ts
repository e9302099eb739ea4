// SPDX-License-Identifier: Apache-2.0

import { assertEquals } from "@std/assert";
import { SyscallError } from "../../ffi/errno.ts";
import { exitNumberOf, isBrokenPipe } from "../../lib/cli/exit_code.ts";
import { UsageError } from "../../lib/cli/usage_error.ts";
import { StorageError, type StorageErrorCode } from "../../lib/errors.ts";

const CASES: readonly [StorageErrorCode, number][] = [
  ["layer_not_found", 3],
  ["parent_not_found", 3],
  ["layer_exists", 4],
  ["layer_in_use", 4],
  ["layer_not_empty", 4],
  ["max_depth_exceeded", 4],
  ["prior_driver_conflict", 4],
  ["socket_in_use", 4],
  ["not_supported", 5],
  ["incompatible_filesystem", 5],
  ["invalid_archive", 6],
  ["unsafe_path", 6],
  ["invalid_argument", 6],
  ["no_space", 7],
  ["quota_exceeded", 7],
  ["store_read_only", 7],
  ["permission_denied", 8],
  ["store_damaged", 9],
  ["mount_failed", 10],
  ["aborted", 130],
  ["output_closed", 141],
  ["system_error", 1],
];

for (const [code, number] of CASES) {
  Deno.test(`exitNumberOf() of ${code} is ${number}`, () => {
    assertEquals<number>(exitNumberOf(new StorageError(code, "")), number);
  });
}

Deno.test("exitNumberOf() of wrong words is 2, of anything unforeseen 1", () => {
  assertEquals<number>(exitNumberOf(new UsageError("")), 2);
  assertEquals<number>(exitNumberOf(new TypeError("")), 1);
  assertEquals<number>(exitNumberOf("a string"), 1);
});

Deno.test("isBrokenPipe() is true of an archive that nobody reads, and of Deno's own error", () => {
  const writeFailed = new SyscallError("write", 32, [5, "…", 512]);
  assertEquals(isBrokenPipe(new StorageError("output_closed", "")), true);
  assertEquals(isBrokenPipe(new Deno.errors.BrokenPipe("")), true);
  // A pipe inside of lamina is nobody's standard output.
  assertEquals(isBrokenPipe(new StorageError("system_error", "", { cause: writeFailed })), false);
  assertEquals(isBrokenPipe(writeFailed), false);
});

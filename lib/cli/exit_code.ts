// SPDX-License-Identifier: Apache-2.0
// deno-lint-ignore-file camelcase -- error codes are written as they appear in messages and logs

/**
 * The numbers that lamina ends with, so that a script can tell failures apart.
 *
 * @module
 */

import { isStorageError, type StorageErrorCode } from "../errors.ts";
import { UsageError } from "./usage_error.ts";

/** Exit numbers by name. They never change their meaning. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  refused: 4,
  notSupported: 5,
  badInput: 6,
  noSpace: 7,
  permission: 8,
  damaged: 9,
  mountFailed: 10,
  aborted: 130,
  /** What a shell reports for a program that SIGPIPE ended. */
  brokenPipe: 141,
} as const;

/** One of {@linkcode EXIT}. */
export type ExitNumber = typeof EXIT[keyof typeof EXIT];

/** What the numbers mean, as the help tells it. */
export const EXIT_MEANINGS: Readonly<Record<ExitNumber, string>> = {
  [EXIT.ok]: "done",
  [EXIT.failed]: "failed or no",
  [EXIT.usage]: "wrong words",
  [EXIT.notFound]: "no such layer",
  [EXIT.refused]: "refused in this state",
  [EXIT.notSupported]: "not supported",
  [EXIT.badInput]: "bad input",
  [EXIT.noSpace]: "no space",
  [EXIT.permission]: "no permission",
  [EXIT.damaged]: "store damaged",
  [EXIT.mountFailed]: "mount failed",
  [EXIT.aborted]: "aborted",
  [EXIT.brokenPipe]: "broken pipe",
};

const EXIT_OF_CODE: Readonly<Record<StorageErrorCode, ExitNumber>> = {
  aborted: EXIT.aborted,
  agent_unreachable: EXIT.failed,
  incompatible_filesystem: EXIT.notSupported,
  invalid_archive: EXIT.badInput,
  invalid_argument: EXIT.badInput,
  layer_exists: EXIT.refused,
  layer_in_use: EXIT.refused,
  layer_not_empty: EXIT.refused,
  layer_not_found: EXIT.notFound,
  limit_exceeded: EXIT.badInput,
  max_depth_exceeded: EXIT.refused,
  mount_failed: EXIT.mountFailed,
  no_space: EXIT.noSpace,
  not_supported: EXIT.notSupported,
  output_closed: EXIT.brokenPipe,
  parent_not_found: EXIT.notFound,
  permission_denied: EXIT.permission,
  prior_driver_conflict: EXIT.refused,
  quota_exceeded: EXIT.noSpace,
  socket_in_use: EXIT.refused,
  store_damaged: EXIT.damaged,
  store_read_only: EXIT.noSpace,
  system_error: EXIT.failed,
  unsafe_path: EXIT.badInput,
};

/** The number to end with after `error`. */
export function exitNumberOf(error: unknown): ExitNumber {
  if (error instanceof UsageError) return EXIT.usage;
  if (isBrokenPipe(error)) return EXIT.brokenPipe;
  return isStorageError(error) ? EXIT_OF_CODE[error.code] : EXIT.failed;
}

/** Whether who reads our standard output went away, which is no failure to speak of. */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Deno.errors.BrokenPipe || isStorageError(error, "output_closed");
}

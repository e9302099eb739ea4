// SPDX-License-Identifier: Apache-2.0
// deno-lint-ignore-file camelcase -- error codes are written as they appear in messages and logs

/**
 * The HTTP status of each failure, so that a client can tell them apart without reading the code.
 *
 * @module
 */

import type { StorageErrorCode } from "../errors.ts";

const STATUS_OF_CODE: Readonly<Record<StorageErrorCode, number>> = {
  // Nobody but the agent's own end aborts what a client still waits for.
  aborted: 503,
  // Only its client says so.
  agent_unreachable: 502,
  incompatible_filesystem: 501,
  invalid_archive: 400,
  invalid_argument: 400,
  layer_exists: 409,
  layer_in_use: 409,
  layer_not_empty: 409,
  layer_not_found: 404,
  limit_exceeded: 413,
  max_depth_exceeded: 409,
  mount_failed: 500,
  no_space: 507,
  not_supported: 501,
  output_closed: 499,
  parent_not_found: 404,
  permission_denied: 403,
  prior_driver_conflict: 409,
  quota_exceeded: 507,
  socket_in_use: 409,
  store_damaged: 500,
  store_read_only: 500,
  system_error: 500,
  unsafe_path: 400,
};

/** The status for a failure with this code. */
export function httpStatusOf(code: StorageErrorCode): number {
  return STATUS_OF_CODE[code];
}

/** Whether `code` is one that a failure of the library can have. */
export function isErrorCode(code: unknown): code is StorageErrorCode {
  return typeof code === "string" && Object.hasOwn(STATUS_OF_CODE, code);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The user namespace of this process: see user_namespaces(7).
 *
 * @module
 */

import { readTextFile } from "../util/read_file.ts";

const INITIAL_MAP_REGEXP = /^\s*0\s+0\s+4294967295\s*$/m;

/** Whether this process has its ids, and its privileges, in a user namespace only. */
export function isInUserNamespace(): boolean {
  return !INITIAL_MAP_REGEXP.test(readTextFile("/proc/self/uid_map"));
}

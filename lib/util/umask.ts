// SPDX-License-Identifier: Apache-2.0

/**
 * The process's umask, read without changing it: umask(2) can only ask by setting, which other threads would notice.
 *
 * @module
 */

import { readTextFile } from "./read_file.ts";

/** The bits that a new file does not get, from `/proc/self/status` (Linux 4.7); all of them where that does not tell. */
export function currentUmask(): number {
  const match = /^Umask:\s*([0-7]+)$/m.exec(readTextFile("/proc/self/status"));
  return match === null ? 0o777 : parseInt(match[1]!, 8);
}

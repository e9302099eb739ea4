// SPDX-License-Identifier: Apache-2.0

/**
 * What this process may do without being root: see capabilities(7).
 *
 * @module
 */

import { readTextFile } from "./read_file.ts";

/** Number of the capability to mount, in `linux/capability.h`. */
export const CAP_SYS_ADMIN = 21n;

/** Whether this process has a capability, in its own user namespace. */
export function hasCapability(capability: bigint): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readTextFile("/proc/self/status"))?.[1] ?? "0";
  return (BigInt(`0x${effective}`) >> capability & 1n) === 1n;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * All faults, in the order in which they are tried.
 *
 * @module
 */

import type { Fault } from "./fault.ts";
import { BROKEN_DISK } from "./broken_disk.ts";
import { CROWD } from "./crowd.ts";
import { FULL_DISK } from "./full_disk.ts";
import { KILL } from "./kill.ts";
import { KILL_COMMANDS } from "./kill_commands.ts";
import { LIMITS } from "./limits.ts";
import { POWER_CUT } from "./power_cut.ts";
import { SURROUNDINGS } from "./surroundings.ts";

/** What can happen to a store. */
export const FAULTS: readonly Fault[] = [
  KILL,
  KILL_COMMANDS,
  POWER_CUT,
  FULL_DISK,
  BROKEN_DISK,
  CROWD,
  SURROUNDINGS,
  LIMITS,
];

// SPDX-License-Identifier: Apache-2.0

/**
 * Makes a layer, fills it from standard input and removes it, in the store and under the policy that the arguments name.
 * tests/drivers/sync_policy_test.ts watches its system calls.
 *
 * @module
 */

import { type DriverName, openDriver, type SyncPolicy } from "../../mod.ts";

const [root, runRoot, driver, sync] = Deno.args as [string, string, DriverName, SyncPolicy];
await using layers = await openDriver({ root, runRoot, driver, sync, work: "in-place" });
await layers.create("base");
await layers.create("top", { parent: "base" });
await layers.applyDiff("top", { fd: 0 });
await layers.remove("top");

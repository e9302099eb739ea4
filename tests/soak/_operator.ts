// SPDX-License-Identifier: Apache-2.0

/**
 * A process that does random operations to a store until it is killed: `_operator.ts SETTINGS`, which is JSON. What it does
 * it writes to standard output, a line before and a line after each call.
 */

import { openDriver } from "../../mod.ts";
import { Random } from "../fuzz/random.ts";
import { after, type LedgerLine, stateFromJson } from "./layer_model.ts";
import { chooseOperation, perform } from "./operations.ts";
import type { OperatorSettings } from "./operator.ts";

function say(line: LedgerLine): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}

const { root, runRoot, driver: name, sync, seed, start } = JSON.parse(Deno.args[0]!) as OperatorSettings;
const driver = await openDriver({ root, runRoot, driver: name, sync, work: "in-place" });
const random = new Random(seed);
let state = stateFromJson(start);
for (;;) {
  const operation = chooseOperation(name, random, state);
  say({ begin: operation });
  const mounted = await perform(driver, state, operation);
  say({ done: operation, mounted });
  state = after(name, state, operation, mounted);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * kill -9 at a random moment, in the middle of everything that drivers do.
 *
 * @module
 */

import { DRIVER_NAMES, type DriverName } from "../../mod.ts";
import { needsOverlay, needsRoot } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { Random } from "../fuzz/random.ts";
import type { Budget, Fault, Tally } from "./fault.ts";
import { EMPTY_STORE, readLedger, stateToJson, type StoreState } from "./layer_model.ts";
import { Operator } from "./operator.ts";
import { checkStore, lossesOf, type StorePlace } from "./store_check.ts";

/** A store and what it must hold. */
interface Store {
  place: StorePlace;
  state: StoreState;
}

const LONGEST_LIFE_MS = 120;
const SHORT_KILLS = 21;
const LEAST_KILLS = 300;

/** Kills a process at work on `store`; what was lost, and in which operation it was. */
async function killOnce(store: Store, seed: number): Promise<{ lost: string[]; operation: string }> {
  const random = Random.ofCase(seed, 1);
  const start = stateToJson(store.state);
  await forgetFeatures(store.place.runRoot);
  await using operator = new Operator({ ...store.place, sync: "metadata", seed, start });
  await operator.begun;
  await new Promise((resolve) => setTimeout(resolve, random.below(LONGEST_LIFE_MS)));
  await operator.kill();
  const reading = readLedger(store.place.driver, store.state, operator.lines);
  const report = await checkStore(store.place, reading);
  store.state = report.state;
  const operation = reading.interrupted?.kind ?? "none";
  return { lost: lossesOf(report).map((loss) => `${store.place.driver}, killed in ${operation}: ${loss}`), operation };
}

/** Has the next process find out again what the kernel can do, so that it may be killed at that. */
async function forgetFeatures(runRoot: string): Promise<void> {
  await runOk("bash", ["-ec", 'rm -f "$1"/*/features', "bash", runRoot]);
}

async function run({ form, seconds, seed, onProgress }: Budget): Promise<Tally> {
  await using directory = await TempDir.make();
  const stores = DRIVER_NAMES.map((driver) => newStore(directory, driver));
  const deadline = performance.now() + 1000 * seconds;
  const killed = new Map<string, number>();
  const lost: string[] = [];
  let tried = 0;
  const goesOn = (): boolean =>
    form === "short" ? tried < SHORT_KILLS : tried < LEAST_KILLS || performance.now() < deadline;
  for (; goesOn() && lost.length === 0; tried++) {
    const result = await killOnce(stores[tried % stores.length]!, seed + tried);
    lost.push(...result.lost);
    killed.set(result.operation, (killed.get(result.operation) ?? 0) + 1);
    onProgress(`${tried + 1} kills`);
  }
  const note = [...killed].sort(([, a], [, b]) => b - a).map(([kind, times]) => `${kind} ${times}`).join(", ");
  return { tried, lost, note: `in ${note}` };
}

function newStore(directory: TempDir, driver: DriverName): Store {
  const root = directory.join(driver);
  return { place: { root, runRoot: directory.join(`run-${driver}`), driver }, state: EMPTY_STORE };
}

/** The fault. */
export const KILL: Fault = {
  name: "kill",
  promise: "kill -9 at a random moment: the store opens, and each layer whose call returned is whole",
  needs: [needsRoot, needsOverlay],
  run,
};

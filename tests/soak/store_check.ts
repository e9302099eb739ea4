// SPDX-License-Identifier: Apache-2.0

/**
 * Compares a store with what a ledger says of it: each name, each mount and its count, and after `check --repair` each layer
 * bit for bit.
 *
 * @module
 */

import { isLayerId } from "../../lib/layer_id.ts";
import { type DriverName, type GraphDriver, isStorageError, openDriver } from "../../mod.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { firstDifference, readTree, treeOf } from "./layer_content.ts";
import { type Layer, type LedgerReading, type Possible, possibleIn, type StoreState } from "./layer_model.ts";

/** What was found. Each line of text names the layer and what is wrong with it. */
export interface StoreReport {
  /** Layers that are as they must be. */
  whole: number;
  /** Layers whose call returned and that are not there. */
  missing: string[];
  /** What lamina calls damaged, and cannot repair. */
  damaged: string[];
  /** Layers that show something else than they must, or that were removed and are there. */
  differing: string[];
  /** Everything else: mounts, counts, names, files of the store's own. */
  strange: string[];
  /** What the store holds. */
  state: StoreState;
}

/** Which store. */
export interface StorePlace {
  root: string;
  runRoot: string;
  driver: DriverName;
}

/** What was lost, one line a piece; none if all is as it must be. */
export function lossesOf({ missing, damaged, differing, strange }: StoreReport): string[] {
  return [...missing, ...damaged, ...differing, ...strange];
}

/** Compares the store with `reading`. Mounts that are held are given back. */
export async function checkStore(place: StorePlace, reading: LedgerReading): Promise<StoreReport> {
  await using driver = await openDriver({ ...place, work: "in-place" });
  const report: StoreReport = {
    whole: 0,
    missing: [],
    damaged: [],
    differing: [],
    strange: [],
    state: { layers: new Map(), mounts: new Map() },
  };
  report.strange.push(...await strangeNames(driver.home));
  const possible = possibilities(reading);
  await releaseMounts(driver, possible, report);
  report.damaged.push(...await repair(driver));
  // Mounts in the run root are no damage to a store.
  await driver.sweep();
  report.strange.push(...mountsLeft(place).map((path) => `${path}: a mount that nobody holds`));
  await driver.cleanup();
  report.strange.push(...mountsLeft(place).map((path) => `${path}: a mount that cleanup() leaves`));
  const found = new Set((await Array.fromAsync(driver.layers())).map(({ id }) => id));
  const layers = new Map<string, Layer>();
  for (const id of found) {
    if (!possible.has(id)) report.differing.push(`${id}: it was removed, or never made, and is there`);
  }
  for (const [id, { layers: candidates }] of possible) {
    const isThere = found.has(id);
    if (!isThere) {
      if (candidates.includes(undefined)) report.whole++;
      else report.missing.push(`${id}: it is not there`);
      continue;
    }
    const layer = await identify(driver, id, candidates, report);
    if (layer !== undefined) layers.set(id, layer);
  }
  report.state = { layers, mounts: new Map() };
  return report;
}

function mountsLeft({ root, runRoot }: StorePlace): string[] {
  return [...mountPointsBelow(root), ...mountPointsBelow(runRoot)];
}

function possibilities({ state, uncertain }: LedgerReading): Map<string, Possible> {
  const ids = new Set([...state.layers.keys(), ...uncertain.keys()]);
  return new Map([...ids].map((id) => [id, uncertain.get(id) ?? possibleIn(state, id)]));
}

/** Gives back what the dead process held: as often as it was counted, and not once more. */
async function releaseMounts(
  driver: GraphDriver,
  possible: ReadonlyMap<string, Possible>,
  report: StoreReport,
): Promise<void> {
  for (const [id, { users }] of possible) {
    const isMounted = (): boolean => mountPointsBelow(`${driver.home}/${id}/merged`).length > 0;
    let count = 0;
    for (; isMounted() && count <= Math.max(...users); count++) await driver.put(id);
    if (!users.includes(count)) {
      report.strange.push(`${id}: counted ${count} users of its mount, not ${users.join(" or ")}`);
    }
  }
}

/** Has `check` repair the store; what it leaves, and what it finds afterwards. */
async function repair(driver: GraphDriver): Promise<string[]> {
  const left: string[] = [];
  for (const options of [{ repair: true }, {}]) {
    for await (const { kind, code, path, problem, repaired, failure } of driver.check(options)) {
      if (kind === "note" || repaired) continue;
      left.push(
        `check${options.repair ? " --repair" : ", after a repair"}: ${code}: ${path} ${problem}: ${failure ?? ""}`,
      );
    }
  }
  return left;
}

/** Finds out which of the candidates a layer is. */
async function identify(
  driver: GraphDriver,
  id: string,
  candidates: readonly (Layer | undefined)[],
  report: StoreReport,
): Promise<Layer | undefined> {
  const layers = candidates.filter((layer) => layer !== undefined);
  if (layers.length === 0) {
    report.differing.push(`${id}: it was removed, and is there`);
    return undefined;
  }
  try {
    const layer = await match(driver, id, layers, report);
    if (layer !== undefined) report.whole++;
    return layer;
  } catch (error) {
    if (!isStorageError(error)) throw error;
    report.damaged.push(`${id}: ${error.code}: ${error.message}`);
    return undefined;
  }
}

async function match(
  driver: GraphDriver,
  id: string,
  layers: readonly Layer[],
  report: StoreReport,
): Promise<Layer | undefined> {
  await using mounted = await driver.get(id, { readOnly: true });
  const tree = readTree(mounted.path);
  const differences: string[] = [];
  for (const layer of layers.toReversed()) {
    const difference = firstDifference(treeOf(layer), tree);
    if (difference === undefined) return layer;
    differences.push(difference);
  }
  report.differing.push(`${id}: ${differences[0]}`);
  return undefined;
}

/** Names of the store's own that are no layer's, nor recognisable as left over; and files of its own that are empty. */
async function strangeNames(home: string): Promise<string[]> {
  const strange: string[] = [];
  for (const name of await namesIfThere(home)) {
    if (name === "l" || name === "lost+found" || name.startsWith(".lamina-")) continue;
    if (!isLayerId(name)) {
      strange.push(`${home}/${name}: a strange name`);
      continue;
    }
    for (const inner of await namesIn(`${home}/${name}`)) {
      if (inner.startsWith(".lamina-") && inner !== ".lamina-parent") continue;
      const path = `${home}/${name}/${inner}`;
      const { isDirectory, isFile, size } = await Deno.lstat(path);
      if (isDirectory ? !OWN_DIRECTORIES.test(inner) : !isFile || size === 0 && inner !== "committed") {
        strange.push(`${path}: a strange or empty file`);
      }
    }
  }
  return strange;
}

/** A home that never got a layer need not be there. */
async function namesIfThere(directory: string): Promise<string[]> {
  try {
    return await namesIn(directory);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

const OWN_DIRECTORIES = /^(diff[0-9]*|work|merged|empty|root|upper)$/;

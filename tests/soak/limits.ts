// SPDX-License-Identifier: Apache-2.0

/**
 * Very many layers, very many mounts, and very long paths.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { type GraphDriver, isStorageError, openDriver } from "../../mod.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import type { Budget, Fault, Tally } from "./fault.ts";
import { archiveOf, firstDifference, readTree, treeOf } from "./layer_content.ts";

const CLI = fileURLToPath(new URL("../../cli.ts", import.meta.url));
const LAYERS = { short: 500, long: 10_000 };
const MOUNTS = { short: 50, long: 1_000 };
const LONGEST_LIST_MS = 1_000;
/** How many times as long the last layers may take as the first; machines do other things as well. */
const MOST_SLOWER = 3;
const SAMPLE = 100;
/** Of the kernel, with the NUL at the end. */
const PATH_MAX = 4096;

function open(directory: TempDir, root = directory.join("root")): Promise<GraphDriver> {
  return openDriver({ root, runRoot: directory.join("run"), driver: "overlay2", work: "in-place" });
}

/** What a limit came to, and what was wrong. */
interface Result {
  note: string;
  lost: string[];
}

async function manyLayers(form: Budget["form"]): Promise<Result> {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  const times: number[] = [];
  for (let i = 0; i < LAYERS[form]; i++) {
    const begin = performance.now();
    await driver.create(`layer-${i}`, { parent: "base" });
    times.push(performance.now() - begin);
  }
  const [first, last] = [median(times.slice(0, SAMPLE)), median(times.slice(-SAMPLE))];
  const begin = performance.now();
  const count = (await Array.fromAsync(driver.layers())).length;
  const listMs = performance.now() - begin;
  const commandMs = await timeOfList(directory);
  const removeBegin = performance.now();
  for (let i = 0; i < SAMPLE; i++) await driver.remove(`layer-${i}`);
  const removeMs = (performance.now() - removeBegin) / SAMPLE;
  const lost: string[] = [];
  if (count !== LAYERS[form] + 1) lost.push(`${count} layers are listed of ${LAYERS[form] + 1}`);
  // Only a long row of layers shows what grows with their number; on a busy machine short times say nothing.
  if (form === "long" && last > MOST_SLOWER * first) {
    lost.push(`create took ${ms(first)} at first and ${ms(last)} at last`);
  }
  if (form === "long" && listMs > LONGEST_LIST_MS) lost.push(`a list of ${count} layers took ${ms(listMs)}`);
  const note = `${count} layers: create ${ms(first)} at first, ${ms(last)} at last; list ${ms(listMs)}, ` +
    `lamina ls ${ms(commandMs)} with the start of Deno; remove ${ms(removeMs)}`;
  return { note, lost };
}

async function timeOfList(directory: TempDir): Promise<number> {
  const store = ["--root", directory.join("root"), "--run-root", directory.join("run")];
  const begin = performance.now();
  await runOk(Deno.execPath(), ["run", "--quiet", "--no-lock", "--allow-all", CLI, ...store, "ls"]);
  return performance.now() - begin;
}

async function manyMounts(form: Budget["form"]): Promise<Result> {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await driver.applyDiff("base", ReadableStream.from([archiveOf(1, undefined)]));
  const ids = Array.from({ length: MOUNTS[form] }, (_, i) => `layer-${i}`);
  for (const id of ids) await driver.createReadWrite(id, { parent: "base" });
  const lost: string[] = [];
  const begin = performance.now();
  for (const id of ids) await driver.get(id);
  const getMs = (performance.now() - begin) / ids.length;
  const mounted = mountPointsBelow(directory.path).length;
  if (mounted !== ids.length) lost.push(`${mounted} of ${ids.length} layers are mounted`);
  const difference = firstDifference(treeOf({ key: 1, remaps: 0 }), readTree(`${driver.home}/${ids.at(-1)}/merged`));
  if (difference !== undefined) lost.push(`the last mount shows ${difference}`);
  const putBegin = performance.now();
  for (const id of ids) await driver.put(id);
  const putMs = (performance.now() - putBegin) / ids.length;
  const left = mountPointsBelow(directory.path).length;
  if (left > 0) lost.push(`${left} mounts are left`);
  return { note: `${ids.length} mounts at once: get ${ms(getMs)}, put ${ms(putMs)}`, lost };
}

/** Homes of all lengths around the one at which a layer's own paths are too long: all works, or nothing is begun. */
async function longPaths(): Promise<Result> {
  await using directory = await TempDir.make();
  const lost: string[] = [];
  let longest = 0;
  for (const length of [1000, 2000, 3000, 3500, 3800, 3900, 3950, 3980, 4000, 4020, 4040, 4060, 4080]) {
    const root = pathOfLength(directory.join(`long-${length}`), length);
    await using driver = await open(directory, root);
    const what = `a root of ${length} bytes`;
    try {
      await driver.create("base");
      await driver.applyDiff("base", ReadableStream.from([archiveOf(1, undefined)]));
      await driver.create("child", { parent: "base" });
      await driver.applyDiff("child", ReadableStream.from([archiveOf(2, 1)]));
      {
        await using layer = await driver.get("child");
        const difference = firstDifference(treeOfChild(), readTree(layer.path));
        if (difference !== undefined) lost.push(`${what}: ${difference}`);
      }
      await (await driver.diff("child")).pipeTo(new WritableStream());
      for (const id of ["child", "base"]) await driver.remove(id);
      longest = length;
    } catch (error) {
      if (!isStorageError(error)) lost.push(`${what}: ${error}`);
      lost.push(...await halfMade(driver, what));
    }
  }
  return { note: `roots of up to ${longest} bytes of ${PATH_MAX}`, lost };
}

/** What there is in a home in which a call failed for the length of its path: whole layers and nothing else. */
async function halfMade(driver: GraphDriver, what: string): Promise<string[]> {
  const names = await namesIn(driver.home).catch(() => []);
  return names.filter((name) => !["l", "base", "child"].includes(name)).map((name) => `${what}: ${name} is left over`);
}

function treeOfChild(): Map<string, string> {
  return treeOf({ parent: { id: "base", layer: { key: 1, remaps: 0 } }, key: 2, remaps: 0 });
}

function pathOfLength(prefix: string, length: number): string {
  let path = prefix;
  while (path.length < length) path += `/${"d".repeat(Math.max(1, Math.min(200, length - path.length - 1)))}`;
  return path.slice(0, length);
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
}

function ms(milliseconds: number): string {
  return `${milliseconds.toFixed(milliseconds < 10 ? 2 : 0)} ms`;
}

async function run({ form, onProgress }: Budget): Promise<Tally> {
  const results: Result[] = [];
  for (const limit of [manyLayers, manyMounts, longPaths]) {
    results.push(await limit(form));
    onProgress(`${results.length} limits`);
  }
  return {
    tried: results.length,
    lost: results.flatMap(({ lost }) => lost),
    note: results.map(({ note }) => note).join("; "),
  };
}

/** The fault. */
export const LIMITS: Fault = {
  name: "limits",
  promise: "very many layers and mounts, very long paths: all works, and no slower than with few",
  needs: [needsRoot, needsOverlay],
  run,
};

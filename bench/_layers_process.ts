// SPDX-License-Identifier: Apache-2.0

/**
 * Many short operations of a driver in a process of their own, timed without the process's start. Prints
 * `{"seconds": …}`: all of them together.
 *
 *     mount|create|remove DIRECTORY COUNT LAYERS cold|warm|long [SYNC_POLICY]
 *
 * `mount` gets and puts one layer over LAYERS others, the others make and remove COUNT layers in chains of LAYERS. Warm: the
 * same was done in another store before. Long: some thousand layers were made, mounted, unmounted and removed before, after
 * which V8 has compiled all that runs often, as it has in an agent.
 *
 * The store is ready before the time begins. The run root is on a tmpfs, as `/run` is on hosts: on the file system of the
 * layers, each unmount would wait until what is noted there is on the disk.
 *
 * @module
 */

import { type GraphDriver, openDriver, type SyncPolicy } from "../mod.ts";

function parentOf(i: number, depth: number): { parent: string } | Record<string, never> {
  return i % depth === 0 ? {} : { parent: `layer-${i - 1}` };
}

async function makeLayers(driver: GraphDriver, count: number, depth: number): Promise<void> {
  for (let i = 0; i < count; i++) await driver.create(`layer-${i}`, parentOf(i, depth));
}

async function removeLayers(driver: GraphDriver, count: number): Promise<void> {
  for (let i = count - 1; i >= 0; i--) await driver.remove(`layer-${i}`);
}

/** How many times a layer is made, mounted, unmounted and removed before: V8 has its last word after some thousand. */
const LONG = 6000;
const LONG_CHAIN = 100;

async function useForLong(directory: string, runRoot: string): Promise<void> {
  await using driver = await open(directory, runRoot, "metadata");
  for (let done = 0; done < LONG; done += LONG_CHAIN) {
    await makeLayers(driver, LONG_CHAIN, LONG_CHAIN);
    for (let i = 1; i < LONG_CHAIN; i += 5) await (await driver.get(`layer-${i}`))[Symbol.asyncDispose]();
    await removeLayers(driver, LONG_CHAIN);
  }
}

function open(directory: string, runRoot: string, sync: SyncPolicy): Promise<GraphDriver> {
  return openDriver({ root: `${directory}/root`, runRoot, driver: "overlay2", work: "in-place", sync });
}

async function secondsOf(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

async function run(
  operation: string,
  directory: string,
  count: number,
  layers: number,
  sync: SyncPolicy,
): Promise<number> {
  const runRoot = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "lamina-bench-" });
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => Deno.remove(runRoot, { recursive: true }));
  await using driver = await open(directory, runRoot, sync);
  switch (operation) {
    case "mount": {
      await makeLayers(driver, layers, layers);
      await driver.createReadWrite("top", { parent: `layer-${layers - 1}` });
      // The first unmount writes out what was made.
      for (let i = 0; i < 3; i++) await (await driver.get("top"))[Symbol.asyncDispose]();
      return await secondsOf(async () => {
        for (let i = 0; i < count; i++) await (await driver.get("top"))[Symbol.asyncDispose]();
      });
    }
    case "create":
      // What mounts can do here is found out by one, and its end writes out all that lies on the file system.
      await driver.status();
      return await secondsOf(() => makeLayers(driver, count, layers));
    case "remove":
      await makeLayers(driver, count, layers);
      return await secondsOf(() => removeLayers(driver, count));
    default:
      throw new Error(`No operation "${operation}": mount, create or remove`);
  }
}

const [operation, directory, count, layers, state, sync = "metadata"] = Deno.args as [
  string,
  string,
  string,
  string,
  string,
  SyncPolicy | undefined,
];
const runIn = (place: string): Promise<number> => run(operation, place, Number(count), Number(layers), sync);
if (state === "warm") await runIn(`${directory}/before`);
if (state === "long") {
  const runRoot = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "lamina-bench-" });
  await useForLong(`${directory}/before`, runRoot).finally(() => Deno.remove(runRoot, { recursive: true }));
}
const seconds = await runIn(`${directory}/lamina`);
Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify({ seconds })}\n`));

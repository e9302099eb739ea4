// SPDX-License-Identifier: Apache-2.0

/**
 * Many short operations of a driver in a process of their own, timed without the process's start. Prints
 * `{"seconds": …}`: all of them together.
 *
 *     mount|create|remove DIRECTORY COUNT LAYERS cold|warm
 *
 * `mount` gets and puts one layer over LAYERS others, the others make and remove COUNT layers in chains of LAYERS. Warm:
 * the same was done in another store before. The run root is on a tmpfs, as `/run` is on hosts: on the file system of the
 * layers, each unmount would wait until what is noted there is on the disk.
 *
 * @module
 */

import { type GraphDriver, openDriver } from "../mod.ts";

function parentOf(i: number, depth: number): { parent: string } | Record<string, never> {
  return i % depth === 0 ? {} : { parent: `layer-${i - 1}` };
}

async function makeLayers(driver: GraphDriver, count: number, depth: number): Promise<void> {
  for (let i = 0; i < count; i++) await driver.create(`layer-${i}`, parentOf(i, depth));
}

async function removeLayers(driver: GraphDriver, count: number): Promise<void> {
  for (let i = count - 1; i >= 0; i--) await driver.remove(`layer-${i}`);
}

async function secondsOf(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

async function run(operation: string, directory: string, count: number, layers: number): Promise<number> {
  const runRoot = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "lamina-bench-" });
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => Deno.remove(runRoot, { recursive: true }));
  await using driver = await openDriver({
    root: `${directory}/root`,
    runRoot,
    driver: "overlay2",
    work: "in-place",
  });
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
      return await secondsOf(() => makeLayers(driver, count, layers));
    case "remove":
      await makeLayers(driver, count, layers);
      return await secondsOf(() => removeLayers(driver, count));
    default:
      throw new Error(`No operation "${operation}": mount, create or remove`);
  }
}

const [operation, directory, count, layers, state] = Deno.args as [string, string, string, string, string];
if (state === "warm") await run(operation, `${directory}/before`, Number(count), Number(layers));
const seconds = await run(operation, `${directory}/lamina`, Number(count), Number(layers));
Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify({ seconds })}\n`));

// SPDX-License-Identifier: Apache-2.0

/**
 * The driver in this process, or in an agent, asked for the same. Prints `{"seconds": …}`.
 *
 *     calls|apply|diff in-process|agent DIRECTORY ARCHIVE|COUNT
 *
 * `calls` asks COUNT times whether there is a layer, the others take an archive in and give it out, as streams. Each is
 * done once before: an agent has been at work for long. The agent is a process of its own; the run root is on a tmpfs, as
 * `/run` is on hosts.
 *
 * @module
 */

import { connect, type GraphDriver, openDriver } from "../mod.ts";
import { type Places, startAgent } from "./_agent.ts";

/** Calls before those that count: V8 compiles what is called often. */
const WARM_UP_CALLS = 500;

const CHUNK_SIZE = 256 * 1024;

async function openStore(where: string, places: Places, undo: AsyncDisposableStack): Promise<GraphDriver> {
  if (where === "in-process") return undo.use(await openDriver({ ...places, driver: "overlay2" }));
  return undo.use(await connect(await startAgent(places, undo)));
}

async function call(driver: GraphDriver, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await driver.exists("layer");
}

/** Not the file's own stream: Deno has a short way from that to another file, which few archives can take. */
function streamOf(file: Deno.FsFile): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller): Promise<void> {
      const chunk = new Uint8Array(CHUNK_SIZE);
      const length = await file.read(chunk);
      if (length === null) controller.close();
      else controller.enqueue(chunk.subarray(0, length));
    },
  }, { highWaterMark: 0 });
}

async function apply(driver: GraphDriver, id: string, archive: string): Promise<void> {
  using file = await Deno.open(archive);
  await driver.applyDiff(id, streamOf(file));
}

async function read(driver: GraphDriver, id: string): Promise<void> {
  const reader = (await driver.diff(id)).getReader();
  while (!(await reader.read()).done);
}

async function secondsOf(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

async function run(operation: string, driver: GraphDriver, what: string): Promise<number> {
  await driver.create("layer");
  switch (operation) {
    case "calls":
      await call(driver, WARM_UP_CALLS);
      return await secondsOf(() => call(driver, Number(what)));
    case "apply":
      await apply(driver, "layer", what);
      await driver.remove("layer");
      await driver.create("layer");
      await new Deno.Command("sync").output();
      return await secondsOf(() => apply(driver, "layer", what));
    case "diff":
      await apply(driver, "layer", what);
      await read(driver, "layer");
      return await secondsOf(() => read(driver, "layer"));
    default:
      throw new Error(`No operation "${operation}": calls, apply or diff`);
  }
}

const [operation, where, directory, what] = Deno.args as [string, string, string, string];
await using undo = new AsyncDisposableStack();
const runRoot = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "lamina-bench-" });
undo.defer(() => Deno.remove(runRoot, { recursive: true }));
const driver = await openStore(where, { root: `${directory}/root`, runRoot }, undo);
const seconds = await run(operation, driver, what);
Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify({ seconds })}\n`));

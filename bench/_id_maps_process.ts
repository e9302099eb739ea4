// SPDX-License-Identifier: Apache-2.0

/**
 * A layer under other ids, in a process of its own, timed without the process's start. Prints `{"seconds": …}`.
 *
 *     remap|mount|plain ARCHIVE DIRECTORY cold|warm
 *
 * The archive is unpacked to a layer first. `remap` makes a child of it and changes the owners of all that one sees there;
 * `mount` makes a layer to write in, gets it with id maps and puts it, `plain` does so without. Warm: with one more child
 * before.
 *
 * @module
 */

import { type GraphDriver, openDriver } from "../mod.ts";
import { openForReading } from "../lib/util/open_file.ts";

const MAP = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
const MAPS = { uidMaps: MAP, gidMaps: MAP };

type Operation = (driver: GraphDriver, id: string) => Promise<void>;

const OPERATIONS: Readonly<Record<string, Operation>> = {
  async remap(driver, id): Promise<void> {
    await driver.create(id, { parent: "base" });
    await driver.updateLayerIdMap(id, undefined, MAPS);
  },
  async mount(driver, id): Promise<void> {
    await driver.createReadWrite(id, { parent: "base", idMaps: MAPS });
    await using _layer = await driver.get(id, { idMaps: MAPS });
  },
  async plain(driver, id): Promise<void> {
    await driver.createReadWrite(id, { parent: "base" });
    await using _layer = await driver.get(id);
  },
};

async function secondsOf(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

const [name, archive, directory, state] = Deno.args as [string, string, string, string];
const operation = OPERATIONS[name];
if (operation === undefined) throw new Error(`No operation "${name}": ${Object.keys(OPERATIONS).join(", ")}`);
await using driver = await openDriver({
  root: `${directory}/root`,
  runRoot: `${directory}/run`,
  driver: "containers-overlay",
  work: "in-place",
});
{
  using file = openForReading(archive);
  await driver.create("base");
  await driver.applyDiff("base", file);
}
await new Deno.Command("sync").output();
if (state === "warm") {
  await operation(driver, "before");
  await new Deno.Command("sync").output();
}
const seconds = await secondsOf(() => operation(driver, "job"));
Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify({ seconds })}\n`));

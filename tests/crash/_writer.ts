// SPDX-License-Identifier: Apache-2.0

/** A process that creates, fills, mounts and removes layers until it is killed: `_writer.ts ROOT RUN_ROOT ROUND DRIVER`. */

import { type DriverName, openDriver } from "../../mod.ts";
import { tarOf } from "../archive/_tar_of.ts";

const [root, runRoot, round, name] = Deno.args;
const driver = await openDriver({ root: root!, runRoot: runRoot!, driver: name as DriverName });
const archive = tarOf(Array.from({ length: 200 }, (_, i) => ({ path: `${round}-file-${i}`, data: "x".repeat(i) })));
await Deno.stdout.write(new TextEncoder().encode("ready\n"));
for (let i = 0;; i++) {
  const [id, child] = [`layer-${round}-${2 * i}`, `layer-${round}-${2 * i + 1}`];
  await driver.create(id);
  await driver.applyDiff(id, ReadableStream.from([archive]));
  await driver.createReadWrite(child, { parent: id });
  await driver.get(child);
  await driver.put(child);
  await driver.remove(child);
  if (i % 2 === 0) await driver.remove(id);
}

// SPDX-License-Identifier: Apache-2.0

/** A process that makes layers as soon as its standard input ends: `_creator.ts ROOT RUN_ROOT ID...`. */

import { isStorageError, openDriver } from "../../mod.ts";

const [root, runRoot, ...ids] = Deno.args;
await using driver = await openDriver({ root: root!, runRoot: runRoot!, work: "in-place" });
await Deno.stdout.write(new TextEncoder().encode("ready\n"));
await Deno.stdin.read(new Uint8Array(1));
const made: string[] = [];
for (const id of ids) {
  try {
    await driver.createReadWrite(id);
    made.push(id);
  } catch (error) {
    if (!isStorageError(error, "layer_exists")) throw error;
  }
}
await Deno.stdout.write(new TextEncoder().encode(`made ${made.join(" ")}\n`));

// SPDX-License-Identifier: Apache-2.0

/** A process that makes, fills, mounts and removes layers on the layer `top` until its standard input ends: `_busy_store.ts ROOT RUN_ROOT`. */

import { openDriver } from "../../mod.ts";
import { tarOf } from "../archive/_tar_of.ts";

const [root, runRoot] = Deno.args;
await using driver = await openDriver({ root: root!, runRoot: runRoot!, work: "in-place" });
let isDone = false;
const end = Deno.stdin.read(new Uint8Array(1)).then(() => isDone = true);
await Deno.stdout.write(new TextEncoder().encode("ready\n"));
let count = 0;
for (; !isDone; count++) {
  const [image, job] = [`image-${Deno.pid}-${count}`, `job-${Deno.pid}-${count}`];
  await driver.create(image, { parent: "top" });
  await driver.applyDiff(image, new Blob([tarOf([{ path: "file", data: "x".repeat(1000) }])]).stream());
  await driver.createReadWrite(job, { parent: image });
  {
    await using layer = await driver.get(job);
    await Deno.writeTextFile(`${layer.path}/file`, "new");
  }
  await driver.remove(job);
  await driver.remove(image);
}
await end;
await Deno.stdout.write(new TextEncoder().encode(`${count}\n`));

// SPDX-License-Identifier: Apache-2.0

/** A process that shows layers at a place and takes them down until it is killed: `_viewer.ts ROOT RUN_ROOT PLACE`. */

import { openDriver } from "../../mod.ts";

const [root, runRoot, place] = Deno.args;
const driver = await openDriver({ root: root!, runRoot: runRoot!, work: "in-place" });
await Deno.stdout.write(new TextEncoder().encode("ready\n"));
for (;;) {
  for (const ids of [["job"], ["job", "other"]]) {
    await driver.mountAt(place!, ids);
    await driver.unmountAt(place!);
  }
}

// SPDX-License-Identifier: Apache-2.0

/** A process that gives a layer to other ids and back until it is killed: `_remapper.ts ROOT RUN_ROOT LAYER`. */

import { openDriver } from "../../mod.ts";

const [root, runRoot, id] = Deno.args;
const maps = [{ containerId: 0, hostId: 50_000, size: 10 }];
const away = { uidMaps: maps, gidMaps: maps };
const driver = await openDriver({ root: root!, runRoot: runRoot!, work: "in-place" });
await Deno.stdout.write(new TextEncoder().encode("ready\n"));
for (;;) {
  await driver.updateLayerIdMap(id!, undefined, away);
  await driver.updateLayerIdMap(id!, away, undefined);
}

// SPDX-License-Identifier: Apache-2.0

/** A process that gets and puts the layer "job": `_mount_user.ts ROOT RUN_ROOT get|put|forever...`. */

import { openDriver } from "../../mod.ts";

const [root, runRoot, ...verbs] = Deno.args;
// Not disposed: what this process mounts is to stay when it ends.
const driver = await openDriver({ root: root!, runRoot: runRoot!, work: "in-place" });
for (const verb of verbs) {
  if (verb === "get") await driver.get("job");
  else if (verb === "put") await driver.put("job");
  else {
    Deno.stdout.writeSync(new TextEncoder().encode("ready\n"));
    for (;;) {
      await driver.get("job");
      await driver.put("job");
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/** Files of a store that are none: a pipe nobody writes to, a device without an end, a link. No call waits, or reads on. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type DriverName, openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];

/** Which of its files the mount of `job` needs, and the making of a child of it. */
const FILES: Readonly<Record<DriverName, { mount: string; child?: string }>> = {
  "overlay2": { mount: "job/lower", child: "job/link" },
  "containers-overlay": { mount: "job/lower", child: "job/link" },
  "overlay": { mount: "job/lower-id" },
};

/** What replaces the file `$1`, and what a call says of it. */
const IN_PLACE: readonly [name: string, script: string, says: string, hasWriter?: boolean][] = [
  ["a pipe", 'mkfifo "$1"', "is empty"],
  ["a pipe with a silent writer", 'mkfifo "$1"', "no regular file", true],
  ["a device without an end", 'mknod "$1" c 1 5', "has 65536 bytes or more"],
  ["a link to one", 'ln -s /dev/zero "$1"', "no regular file"],
  ["a directory", 'mkdir "$1"', "no regular file"],
  ["a long file", 'head -c 100000 /dev/zero >"$1"', "has 65536 bytes or more"],
];

for (
  const [driverName, { mount, child }] of Object.entries(FILES) as [DriverName, { mount: string; child?: string }][]
) {
  for (const [name, script, says, hasWriter] of IN_PLACE) {
    testNeeding(NEEDS, `${driverName} says store_damaged of ${name} in place of ${mount}, and goes on`, async () => {
      await using directory = await TempDir.make();
      const [root, runRoot] = [directory.join("root"), directory.join("run")];
      await using driver = await openDriver({ root, runRoot, driver: driverName, work: "in-place" });
      await driver.create("base");
      await driver.create("other");
      await driver.createReadWrite("job", { parent: "base" });
      using writers = new DisposableStack();
      const replace = async (file: string): Promise<void> => {
        const path = `${driver.home}/${file}`;
        await runOk("bash", ["-ec", `rm "$1"; ${script}`, "bash", path]);
        if (hasWriter) writers.use(await Deno.open(path, { read: true, write: true }));
      };

      if (child !== undefined) {
        await replace(child);
        assertStringIncludes(
          (await assertFails(driver.create("new", { parent: "job" }), "store_damaged")).message,
          says,
        );
      }
      await replace(mount);
      assertStringIncludes((await assertFails(driver.get("job"), "store_damaged")).message, says);
      assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base", "job", "other"]);
      assert((await Array.fromAsync(driver.check())).some(({ layer }) => layer === "job"));
      await driver.remove("other");
      await driver.remove("job");
      await driver.remove("base");
      assertEquals(await Array.fromAsync(driver.layers()), []);
    });
  }
}

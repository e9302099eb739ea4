// SPDX-License-Identifier: Apache-2.0

/** Layers whose parent changes while they are built, when nobody holds its lock. */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import type { DriverHome } from "../../lib/drivers/_driver_home.ts";
import { buildLayer } from "../../lib/drivers/_layer_aside.ts";
import { DRIVER_NAMES, openDriver } from "../../mod.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";

const ARCHIVE = tarOf([{ path: "file", data: "x" }]);

for (const name of DRIVER_NAMES) {
  testNeeding(
    [needsRoot, needsOverlay],
    `${name}: no layer is made on one that was changed while it was built`,
    async () => {
      await using directory = await TempDir.make();
      await using driver = await openDriver({
        root: directory.join("root"),
        runRoot: directory.join("run"),
        driver: name,
      });
      const { layerHome: home } = driver as unknown as { layerHome: DriverHome };
      const changes: Record<string, (id: string) => Promise<unknown>> = {
        filled: (id) => driver.applyDiff(id, ReadableStream.from([ARCHIVE])),
        remade: async (id) => {
          await driver.remove(id);
          await driver.create(id);
        },
      };
      for (const [parent, change] of Object.entries(changes)) {
        await driver.create(parent);
        const before = (await namesIn(driver.home)).filter((found) => found !== "l");
        const build = async (): Promise<void> => void await change(parent);
        const layer = { id: "child", parent, mode: 0o700, owner: { uid: 0, gid: 0 }, takesLong: true };
        await assertFails(buildLayer(home, { ...layer, build }), "layer_in_use");
        assertEquals((await namesIn(driver.home)).filter((found) => found !== "l"), before);
        await driver.create(`on-${parent}`, { parent });
      }
      // What is read of the parent fails then, one way or another.
      await driver.create("removed");
      const layer = { id: "child", parent: "removed", mode: 0o700, owner: { uid: 0, gid: 0 }, takesLong: true };
      const build = async (): Promise<void> => {
        await driver.remove("removed");
        await Deno.stat(`${driver.home}/removed/diff`);
      };
      await assertFails(buildLayer(home, { ...layer, build }), "parent_not_found");
      await assertFails(buildLayer(home, { ...layer, build: () => {} }), "parent_not_found");
    },
  );
}

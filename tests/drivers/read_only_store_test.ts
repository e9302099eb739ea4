// SPDX-License-Identifier: Apache-2.0

/** A store that nobody may write to can be looked at all the same. */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { DRIVER_NAMES, openDriver } from "../../mod.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";

const ARCHIVE = tarOf([{ path: "file", data: "content" }]);

for (const name of DRIVER_NAMES) {
  testNeeding(
    [needsRoot, needsOverlay],
    `${name} lists and exports the layers of a read-only store`,
    async () => {
      await using directory = await TempDir.make();
      const place = {
        root: await directory.mkdir("root"),
        runRoot: directory.join("run"),
        driver: name,
        work: "in-place",
      } as const;
      {
        await using driver = await openDriver(place);
        await driver.create("base");
        await driver.applyDiff("base", ReadableStream.from([ARCHIVE]));
        await driver.create("child", { parent: "base" });
        await driver.create("empty", { parent: "base" });
      }
      await runOk("mount", ["--bind", place.root, place.root]);
      await runOk("mount", ["-o", "remount,bind,ro", place.root]);
      await using driver = await openDriver({ ...place, runRoot: directory.join("run-again") });
      assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base", "child", "empty"]);
      assertEquals(await driver.changes("base"), [{ path: "/file", kind: "add" }]);
      await (await driver.diff("base")).pipeTo(new WritableStream());
      // overlay2 makes the mount point of a layer in the store, when it mounts it; those of the others are there.
      if (name !== "overlay2") {
        await using layer = await driver.get("child", { readOnly: true });
        assertEquals(await namesIn(layer.path), ["file"]);
      }
      await assertFails(driver.create("new", { parent: "base" }), "store_read_only");
      await assertFails(driver.applyDiff("empty", ReadableStream.from([ARCHIVE])), "store_read_only");
      await assertFails(driver.remove("empty"), "store_read_only");
    },
  );
}

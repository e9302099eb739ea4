// SPDX-License-Identifier: Apache-2.0

/** Layers that are removed while somebody reads them: no reader waits for a lock, and none takes a part for the whole. */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { DRIVER_NAMES, type GraphDriver, isStorageError, openDriver } from "../../mod.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";

/** More than fits into pipes and buffers on its way. */
const FILES = Array.from({ length: 60 }, (_, i) => ({ path: `file-${i}`, data: "x".repeat(200_000) }));

/** Removes the layer when its diff has begun; the code with which the diff ends, `none` if it ends well. */
async function removeWhileRead(
  driver: GraphDriver,
  id: string,
  parent: string | null | undefined,
  remove: () => Promise<void> = () => driver.remove(id),
): Promise<string> {
  const reader = (await driver.diff(id, parent === undefined ? {} : { parent })).getReader();
  await reader.read();
  await remove();
  try {
    while (!(await reader.read()).done);
    return "none";
  } catch (error) {
    return isStorageError(error) ? error.code : String(error);
  }
}

testNeeding([needsRoot, needsOverlay], "a diff of a layer that is removed from where it is fails", async () => {
  await using directory = await TempDir.make();
  await using driver = await openDriver({
    root: directory.join("root"),
    runRoot: directory.join("run"),
    driver: "overlay2",
  });
  await driver.create("layer");
  await driver.applyDiff("layer", ReadableStream.from([tarOf(FILES)]));
  // As remove() begins at a quota of btrfs, where nothing can be renamed any more.
  const begin = (): Promise<void> => Deno.remove(`${driver.home}/layer/link`);
  assertEquals(await removeWhileRead(driver, "layer", undefined, begin), "layer_not_found");
});

for (const name of DRIVER_NAMES) {
  testNeeding([needsRoot, needsOverlay], `${name}: a diff of a layer that is removed meanwhile fails`, async () => {
    await using directory = await TempDir.make();
    const [root, runRoot] = [directory.join("root"), directory.join("run")];
    await using driver = await openDriver({ root, runRoot, driver: name });
    await driver.create("base");
    for (const parent of [undefined, null]) {
      await driver.create("layer", { parent: "base" });
      await driver.applyDiff("layer", ReadableStream.from([tarOf(FILES)]));
      assertEquals(await removeWhileRead(driver, "layer", parent), "layer_not_found");
    }
  });

  testNeeding(
    [needsRoot, needsOverlay],
    `${name}: a diff of a layer whose child is removed meanwhile is whole`,
    async () => {
      await using directory = await TempDir.make();
      const [root, runRoot] = [directory.join("root"), directory.join("run")];
      await using driver = await openDriver({ root, runRoot, driver: name });
      await driver.create("base");
      await driver.applyDiff("base", ReadableStream.from([tarOf(FILES)]));
      await driver.create("child", { parent: "base" });
      const reader = (await driver.diff("base")).getReader();
      let bytes = (await reader.read()).value?.length ?? 0;
      await driver.remove("child");
      for (let next = await reader.read(); !next.done; next = await reader.read()) bytes += next.value.length;
      assertEquals(bytes > FILES.length * 200_000, true);
    },
  );
}

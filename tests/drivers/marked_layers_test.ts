// SPDX-License-Identifier: Apache-2.0

/**
 * Layers whose deletions are files, as mount programs have them, say the same as those of overlayfs itself: generated
 * ones are moved from the one kind of store to the other and back.
 *
 * @module
 */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { AT_FDCWD, Fd, O_RDWR, O_TMPFILE, openat, tryLseek } from "../../ffi/file.ts";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { needsFuseOverlayfs, needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { Random } from "../fuzz/random.ts";
import { changeAtRandom } from "./_random_changes.ts";

const CASES = Number(Deno.env.get("LAMINA_PROPERTY_CASES") ?? 24);
const SEED = Number(Deno.env.get("LAMINA_PROPERTY_SEED") ?? 1);
const PROGRAM = "mount_program=/usr/bin/fuse-overlayfs";
/** Each on top of the one before, with how much is done in it. */
const LAYERS = [["base", 60], ["middle", 20], ["job", 30]] as const;

/** Applies the diff of a layer to one of another store, by a file: that needs no second thread. */
async function move(from: GraphDriver, id: string, to: GraphDriver, newId: string, directory: TempDir): Promise<void> {
  using file = new Fd(openat(AT_FDCWD, directory.path, O_RDWR | O_TMPFILE, 0o600));
  await from.diffTo(id, file);
  tryLseek(file.fd, 0, 0);
  await to.applyDiff(newId, file);
}

async function runCase(index: number): Promise<void> {
  const random = Random.ofCase(SEED, index);
  await using directory = await TempDir.make();
  const runRoot = directory.join("run");
  await using kernel = await openDriver({ root: directory.join("kernel"), runRoot, work: "in-place" });
  await using marked = await openDriver({
    root: directory.join("marked"),
    runRoot,
    work: "in-place",
    driver: "containers-overlay",
    options: [PROGRAM],
  });
  const done: string[] = [];
  try {
    let parent: string | undefined;
    for (const [id, count] of LAYERS) {
      const options = parent === undefined ? {} : { parent };
      await kernel.createReadWrite(id, options);
      {
        await using layer = await kernel.get(id);
        done.push(...changeAtRandom(layer.path, random, count), "--");
      }
      await marked.create(id, options);
      await move(kernel, id, marked, id, directory);
      assertEquals(await marked.changes(id), await kernel.changes(id), id);
      assertEquals(await marked.diffSize(id), await kernel.diffSize(id), id);
      await kernel.create(`${id}-copy`, options);
      await move(marked, id, kernel, `${id}-copy`, directory);
      await using expected = await kernel.get(id, { readOnly: true });
      await using actual = await kernel.get(`${id}-copy`, { readOnly: true });
      await assertSameTree(actual.path, expected.path);
      parent = id;
    }
  } catch (error) {
    const { message } = error as Error;
    throw new Error(`case ${index} of LAMINA_PROPERTY_SEED=${SEED}:\n${done.join("\n")}\n${message}`, { cause: error });
  }
}

testNeeding(
  [needsRoot, needsOverlay, needsFuseOverlayfs],
  "deletions kept as files say what devices say, over generated layers",
  async () => {
    for (let index = 0; index < CASES; index++) await runCase(index);
  },
);

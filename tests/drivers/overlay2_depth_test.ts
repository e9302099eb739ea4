// SPDX-License-Identifier: Apache-2.0

/** How many layers each interface of the kernel stacks, and that none is ever lost on the way. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const DEPTH = 128;
/** What mount(2) reads of its data on every machine that has pages of 4096 bytes. */
const PAGE_LIMIT = 4095;

async function makeChain(driver: GraphDriver): Promise<void> {
  await driver.create("l0");
  for (let i = 1; i <= DEPTH; i++) await driver.create(`l${i}`, { parent: `l${i - 1}` });
  for (let i = 0; i <= DEPTH; i++) await Deno.writeTextFile(`${driver.home}/l${i}/diff/of-${i}`, String(i));
}

/** The mounted tree must show a file of each layer. */
async function assertWhole(driver: GraphDriver, depth: number): Promise<void> {
  await using layer = await driver.get(`l${depth}`);
  assertEquals((await namesIn(layer.path)).length, depth + 1, `${depth} lower layers`);
}

testNeeding([needsRoot, needsOverlay], "by fsopen(2) overlay2 shows the files of all 129 layers", async () => {
  await using directory = await TempDir.make();
  await using driver = await openDriver({ home: directory.join("h"), runRoot: directory.join("run"), mountApi: "new" });
  await makeChain(driver);
  await assertWhole(driver, DEPTH);
  await assertFails(driver.create("l129", { parent: `l${DEPTH}` }), "max_depth_exceeded");
});

testNeeding(
  [needsRoot, needsOverlay],
  "by mount(2) overlay2 mounts all layers whose names fit, or says so",
  async () => {
    await using directory = await TempDir.make();
    const options = { home: directory.join("h"), runRoot: directory.join("run"), work: "in-place" } as const;
    await using driver = await openDriver({ ...options, mountApi: "classic" });
    await makeChain(driver);
    // Each lower layer takes the home, "/l/", 26 characters and a colon.
    const estimate = Math.floor(PAGE_LIMIT / (driver.home.length + 30));
    let mounted = 0;
    let refused = 0;
    for (let depth = estimate - 6; depth <= Math.min(estimate + 2, DEPTH); depth++) {
      // A layer in the middle is committed and read-only: it is itself one of the lower layers, and needs no upper names.
      try {
        await assertWhole(driver, depth);
        assertEquals(refused, 0, `${depth} layers fit, and fewer did not`);
        mounted++;
      } catch (cause) {
        const error = await assertFails(Promise.reject(cause), "mount_failed");
        assertMatch(error.message, new RegExp(`take \\d+ bytes, and mount\\(2\\) reads ${PAGE_LIMIT}`));
        assertMatch(error.hint ?? "", /6\.8/);
        refused++;
      }
    }
    assert(mounted > 0 && refused > 0, `${mounted} mounted, ${refused} refused around ${estimate}`);
    assertEquals(mountPointsBelow(directory.path), []);
  },
);

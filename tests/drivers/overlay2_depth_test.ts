// SPDX-License-Identifier: Apache-2.0

/** How many layers each way to mount stacks, and that none is ever lost on the way. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
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
  const error = await assertFails(driver.create("l129", { parent: `l${DEPTH}` }), "max_depth_exceeded");
  assertMatch(error.message, /on 129 layers, and the limit is 128/);
  assertMatch(error.hint ?? "", /overlay2\.max_depth=N/);
  assert(!await driver.exists("l129"));
});

testNeeding([needsRoot, needsOverlay], "by mount(2) from its home overlay2 shows as many", async () => {
  await using directory = await TempDir.make();
  // With this home the absolute names take more than two pages.
  const home = directory.join("home-".repeat(10));
  await using driver = await openDriver({ home, runRoot: directory.join("run"), mountApi: "from", work: "in-place" });
  await makeChain(driver);
  await assertWhole(driver, DEPTH);
});

/** As long as ids of Docker. */
function longId(i: number): string {
  return String(i).padStart(64, "0123456789abcdef".repeat(4));
}

const DEEPEST = 500;

/** Of another length in each layer: two layers may be made within one tick of the kernel's clock. */
function newest(i: number): string {
  return "x".repeat(i);
}

testNeeding([needsRoot, needsOverlay], "overlay2 stacks up to 500 layers where it is told to", async () => {
  await using directory = await TempDir.make();
  const settings = {
    home: directory.join("h"),
    runRoot: directory.join("run"),
    work: "in-place",
    mountApi: "new",
  } as const;
  await using driver = await openDriver({ ...settings, options: [`overlay2.max_depth=${DEEPEST}`] });
  for (let i = 0; i <= DEEPEST; i++) {
    const id = longId(i);
    await driver.create(id, i === 0 ? {} : { parent: longId(i - 1) });
    await Deno.writeTextFile(`${driver.home}/${id}/diff/of-${i}`, String(i));
    await Deno.writeTextFile(`${driver.home}/${id}/diff/newest`, newest(i));
  }
  const error = await assertFails(driver.create("one-more", { parent: longId(DEEPEST) }), "max_depth_exceeded");
  assertMatch(error.message, /on 501 layers, and the limit is 500/);

  for (let i = 0; i <= DEEPEST; i++) {
    await using layer = await driver.get(longId(i), { readOnly: true });
    assertEquals(await Deno.readTextFile(`${layer.path}/newest`), newest(i));
    assertEquals((await namesIn(layer.path)).length, i + 2, `layer ${i}`);
    await assertRejects(() => Deno.writeTextFile(`${layer.path}/new`, ""), Error, "os error 30");
  }
  const top = longId(DEEPEST);
  {
    await using layer = await driver.get(top);
    assertEquals(await Deno.readTextFile(`${layer.path}/of-0`), "0");
    await Deno.writeTextFile(`${layer.path}/of-0`, "changed");
    await Deno.remove(`${layer.path}/of-1`);
  }
  const changes = (await driver.changes(top)).map(({ kind, path }) => `${kind} ${path}`);
  assertEquals(changes, ["modify /newest", "modify /of-0", "delete /of-1", `add /of-${DEEPEST}`]);
  const diff = await driver.diff(top);
  await Deno.writeFile(directory.join("diff.tar"), diff);
  const { stdout } = await runOk("tar", ["-tf", directory.join("diff.tar")]);
  assertEquals(stdout.split("\n").map((name) => name.replace(/^\.\//, "")).filter((name) => name !== "").sort(), [
    ".wh.of-1",
    "newest",
    "of-0",
    `of-${DEEPEST}`,
  ]);
  assertEquals(mountPointsBelow(directory.path), []);
});

Deno.test("overlay2.max_depth is a number that the kernel can do", async () => {
  for (const value of ["0", "501", "x", "", "-1", "1e2", "1.5"]) {
    const error = await assertFails(
      openDriver({ home: "/nowhere", driver: "overlay2", options: [`overlay2.max_depth=${value}`] }),
      "invalid_argument",
    );
    assertMatch(error.hint ?? "", /from 1 to 500/);
  }
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

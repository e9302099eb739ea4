// SPDX-License-Identifier: Apache-2.0

/** What layers occupy, beside what du(1) counts. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import type { GraphDriver, LayerUsage } from "../../lib/drivers/driver.ts";
import { openDriver, type OpenOptions } from "../../lib/drivers/registry.ts";
import { openServedDriver } from "../agent/_served_driver.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run, runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";

const NEEDS = [needsRoot, needsOverlay];

const BASE: readonly TarItem[] = [
  { path: "bin/tool", data: "x".repeat(100_000) },
  { path: "bin/hard", type: "1", link: "bin/tool" },
  { path: "bin/soft", type: "2", link: "tool" },
  { path: "etc/deep/er/file", data: "1" },
  { path: "dev/null", type: "3", major: 1, minor: 3 },
  { path: "empty" },
];

async function withBase(driver: GraphDriver): Promise<void> {
  await driver.create("base");
  await driver.applyDiff("base", new Blob([tarOf(BASE)]).stream());
}

/** Bytes on the disk as du(1) counts them, where a file that it has met counts no more. */
async function duOf(...directories: string[]): Promise<number[]> {
  const { stdout } = await runOk("du", ["-s", "-B1", ...directories]);
  return stdout.trim().split("\n").map((line) => Number(line.split("\t")[0]));
}

function figuresOf({ exclusiveBytes, sharedBytes, allocatedBytes }: Omit<LayerUsage, "id" | "unreadable">): number[] {
  return [exclusiveBytes, sharedBytes, allocatedBytes];
}

for (const [how, open] of [["", openDriver], ["of an agent ", openServedDriver]] as const) {
  testNeeding(NEEDS, `usage() ${how}counts blocks as du does, and bytes as diffSize() does`, async () => {
    await using directory = await TempDir.make();
    const options: OpenOptions = { root: directory.join("root"), runRoot: directory.join("run"), driver: "overlay2" };
    await using driver = await open(options);
    assertEquals(await driver.usage(), {
      layers: [],
      total: { exclusiveBytes: 0, sharedBytes: 0, apparentBytes: 0, allocatedBytes: 0 },
    });
    await withBase(driver);
    await driver.createReadWrite("job", { parent: "base" });
    const { upperDir } = await driver.getMetadata("job");
    await runOk("truncate", ["-s", "1G", `${upperDir}/sparse`]);
    const { layers, total } = await driver.usage();
    const counted = [...await duOf(`${driver.home}/base/diff`), ...await duOf(upperDir)];
    assertEquals(layers.map(figuresOf), counted.map((bytes) => [bytes, 0, bytes]));
    assertEquals(layers.map(({ id, unreadable }) => [id, unreadable]), [["base", []], ["job", []]]);
    for (const { id, apparentBytes } of layers) assertEquals(apparentBytes, await driver.diffSize(id), id);
    assertEquals(figuresOf(total), [counted[0]! + counted[1]!, 0, counted[0]! + counted[1]!]);
    assertEquals((await driver.usage({ ids: ["job"] })).layers.map(({ id }) => id), ["job"]);
    await assertFails(driver.usage({ ids: ["job", "none"] }), "layer_not_found");
    await assertFails(driver.usage({ ids: ["../etc"] }), "invalid_argument");
  });
}

testNeeding(NEEDS, "usage() tells what images of the driver overlay share by hard links", async () => {
  await using directory = await TempDir.make();
  const options: OpenOptions = { root: directory.join("root"), runRoot: directory.join("run"), driver: "overlay" };
  await using driver = await openDriver(options);
  await withBase(driver);
  await driver.create("image", { parent: "base" });
  await driver.applyDiff("image", new Blob([tarOf([{ path: "new", data: "y".repeat(50_000) }])]).stream());
  const roots = ["base", "image"].map((id) => `${driver.home}/${id}/root`);
  const [base, image] = (await driver.usage()).layers;
  assert(image!.sharedBytes >= 100_000 && image!.exclusiveBytes >= 50_000);
  assertEquals([base!.allocatedBytes, image!.allocatedBytes], [...await duOf(roots[0]!), ...await duOf(roots[1]!)]);
  // Shared is what others hold as well, whether they are asked about or not.
  assertEquals((await driver.usage({ ids: ["image"] })).layers, [image!]);
  const { total } = await driver.usage();
  const together = await duOf(...roots);
  assertEquals(total.allocatedBytes, together[0]! + together[1]!);
  assertEquals(total.sharedBytes, base!.sharedBytes);
  // Without the base, nobody else has them.
  await driver.remove("image");
  assertEquals((await driver.usage()).layers[0]!.sharedBytes, 0);
});

testNeeding(NEEDS, "usage() tells what it could not read, and counts the rest", async () => {
  await using directory = await TempDir.make();
  const options: OpenOptions = { root: directory.join("root"), runRoot: directory.join("run"), driver: "overlay2" };
  await using driver = await openDriver(options);
  await withBase(driver);
  const { upperDir } = await driver.getMetadata("base");
  await Deno.chmod(`${upperDir}/etc/deep`, 0);
  await Deno.chown(`${upperDir}/etc/deep`, 1000, 1000);
  // Root that may not read what is not root's.
  const program = `
    import { openDriver } from ${JSON.stringify(new URL("../../mod.ts", import.meta.url).href)};
    await using driver = await openDriver(${JSON.stringify(options)});
    console.log(JSON.stringify((await driver.usage()).layers[0]));`;
  const words = ["--bounding-set=-all", "--", Deno.execPath(), "eval", program];
  const { stdout, stderr } = await run("setpriv", words);
  const { unreadable, apparentBytes } = JSON.parse(stdout || stderr) as LayerUsage;
  assertEquals([unreadable, apparentBytes], [[{ path: "/etc/deep", reason: "EACCES" }], 100_000 + "tool".length]);
});

testNeeding(NEEDS, "usage() tells of a layer whose content is gone", async () => {
  await using directory = await TempDir.make();
  const options: OpenOptions = { root: directory.join("root"), runRoot: directory.join("run"), driver: "overlay2" };
  await using driver = await openDriver(options);
  await withBase(driver);
  await Deno.remove((await driver.getMetadata("base")).upperDir, { recursive: true });
  const { layers: [base] } = await driver.usage();
  assertEquals([base!.allocatedBytes, base!.unreadable], [0, [{ path: "/", reason: "ENOENT" }]]);
});

testNeeding(NEEDS, "usage() can be aborted", async () => {
  await using directory = await TempDir.make();
  await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run") });
  await withBase(driver);
  await assertFails(driver.usage({ signal: AbortSignal.abort() }), "aborted");
});

// SPDX-License-Identifier: Apache-2.0

/** What Docker's legacy driver makes of layers whose writer was killed, ours or Docker's. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";

const NEEDS = [needsRoot, needsOverlay];

/** A base layer, an image-to-be `child` on it, and `copy` on that: Docker's three kinds. */
async function makeStore(directory: TempDir): Promise<GraphDriver> {
  const driver = await openDriver({
    driver: "overlay",
    root: directory.join("root"),
    runRoot: directory.join("run"),
    work: "in-place",
  });
  await driver.create("base");
  await apply(driver, "base");
  await driver.create("child", { parent: "base" });
  return driver;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

async function apply(driver: GraphDriver, id: string): Promise<void> {
  await driver.applyDiff(id, new Blob([tarOf([{ path: id, data: "x" }])]).stream());
}

testNeeding(NEEDS, "overlay applies again what was killed before it became an image", async () => {
  await using directory = await TempDir.make();
  await using driver = await makeStore(directory);
  const script =
    "mkdir -p .lamina-applying/root; cp -al ../base/root/. .lamina-applying/root; printf base >.lamina-parent";
  await runOk("bash", ["-ec", script], { cwd: `${driver.home}/child` });
  const error = await assertFails(driver.get("child"), "store_damaged");
  assert(error.message.includes(".lamina-applying"), error.message);
  assert(error.hint?.includes("apply it again"), error.hint);
  await apply(driver, "child");
  assertEquals(await namesIn(`${driver.home}/child`), [".lamina-parent", "root"]);
  assertEquals(await namesIn(`${driver.home}/child/root`), ["base", "child"]);
});

testNeeding(NEEDS, "overlay uses an image of which the former files were not all deleted", async () => {
  await using directory = await TempDir.make();
  await using driver = await makeStore(directory);
  const script = "cp -al ../base/root root; printf x >root/new; printf base >.lamina-parent; mkdir .lamina-applying";
  await runOk("bash", ["-ec", script], { cwd: `${driver.home}/child` });
  assertEquals(await driver.changes("child"), [{ path: "/new", kind: "add" }]);
  await using layer = await driver.get("child");
  assertEquals(await namesIn(layer.path), ["base", "new"]);
});

testNeeding(NEEDS, "overlay applies again what was killed while it was a copy, and removes it", async () => {
  await using directory = await TempDir.make();
  await using driver = await makeStore(directory);
  await driver.createReadWrite("copy", { parent: "child" });
  for (const finish of [() => apply(driver, "copy"), () => driver.remove("copy")]) {
    await runOk("bash", ["-ec", "mkdir -p .lamina-applying/{upper,work}"], { cwd: `${driver.home}/copy` });
    await assertFails(driver.get("copy"), "store_damaged");
    await finish();
  }
  assertEquals(await namesIn(driver.home), ["base", "child"]);
});

testNeeding(
  NEEDS,
  "overlay applies a diff to a copy without a mount that would be left if it were killed",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await makeStore(directory);
    await driver.createReadWrite("copy", { parent: "child" });
    const archive = tarOf([{ path: "file", data: "x" }]);
    const seen: string[][] = [];
    const slow = ReadableStream.from((async function* (): AsyncGenerator<Uint8Array<ArrayBuffer>> {
      yield archive.subarray(0, 512);
      while (!await exists(`${driver.home}/copy/.lamina-applying/work/work`)) {
        await new Promise((r) => setTimeout(r, 5));
      }
      seen.push(mountPointsBelow(directory.path));
      yield archive.subarray(512);
    })());
    await driver.applyDiff("copy", slow);
    assertEquals(seen, [[]]);
    await using layer = await driver.get("copy");
    assertEquals(await namesIn(layer.path), ["base", "file"]);
  },
);

testNeeding(NEEDS, "overlay fills a copy whose parent has become an image, or is gone", async () => {
  await using directory = await TempDir.make();
  await using driver = await makeStore(directory);
  for (const id of ["copy", "orphan"]) {
    await driver.createReadWrite(id, { parent: "child" });
  }
  // Docker fills a layer whoever lies on it.
  const fill = "cp -al ../base/root root; echo >root/child; rm -r upper work merged lower-id";
  await runOk("bash", ["-ec", fill], { cwd: `${driver.home}/child` });
  await apply(driver, "copy");
  assertEquals(await namesIn(`${driver.home}/copy/root`), ["base", "copy"]);
  // Docker removes what nothing of its own needs.
  await runOk("rm", ["-r", `${driver.home}/child`]);
  await apply(driver, "orphan");
  assertEquals(await namesIn(`${driver.home}/orphan/root`), ["base", "orphan"]);
});

testNeeding(NEEDS, "overlay leaves alone what Docker left of an apply", async () => {
  await using directory = await TempDir.make();
  await using driver = await makeStore(directory);
  await runOk("bash", ["-ec", "cp -al ../base/root tmproot123"], { cwd: `${driver.home}/child` });
  await apply(driver, "child");
  assertEquals(await namesIn(`${driver.home}/child`), [".lamina-parent", "root", "tmproot123"]);
  await driver.remove("child");
  assertEquals(await namesIn(driver.home), ["base"]);
});

testNeeding(NEEDS, "overlay refuses a home on another overlay by name", async () => {
  await using directory = await TempDir.make();
  for (const name of ["lower", "upper", "work", "home"]) await directory.mkdir(name);
  const options = "lowerdir=lower,upperdir=upper,workdir=work";
  await runOk("mount", ["-t", "overlay", "overlay", "-o", options, "home"], { cwd: directory.path });
  await using driver = await openDriver({
    driver: "overlay",
    home: directory.join("home"),
    runRoot: directory.join("run"),
    work: "in-place",
  });
  const error = await assertFails(driver.create("base"), "incompatible_filesystem");
  assert(error.message.includes("overlayfs"), error.message);
  assertEquals(await namesIn(driver.home), []);
});

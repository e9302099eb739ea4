// SPDX-License-Identifier: Apache-2.0

/** Who waits for whom: nobody for a slow archive, a writer of a layer for the other, nobody for the dead. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { DRIVER_NAMES, type DriverName, type GraphDriver, openDriver } from "../../mod.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";

const NEEDS = [needsRoot, needsOverlay];
const ARCHIVE = tarOf(Array.from({ length: 20 }, (_, i) => ({ path: `file-${i}`, data: "x".repeat(i) })));
const CLI = fileURLToPath(new URL("../../cli.ts", import.meta.url));

function open(directory: TempDir, driver: DriverName): Promise<GraphDriver> {
  return openDriver({ root: directory.join("root"), runRoot: directory.join("run"), driver });
}

/** A process that applies an archive to `id`, of which it gets but the beginning, and is at it. */
async function applySlowly(directory: TempDir, driver: GraphDriver, id: string): Promise<Deno.ChildProcess> {
  const store = ["--root", directory.join("root"), "--run-root", directory.join("run"), "--driver", driver.name];
  const args = ["run", "--no-lock", "--allow-all", CLI, ...store, "apply", id, "-"];
  const child = new Deno.Command(Deno.execPath(), { args, stdin: "piped", stdout: "null", stderr: "null" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(ARCHIVE.subarray(0, 700));
  writer.releaseLock();
  while (!(await namesIn(`${driver.home}/${id}`)).includes(".lamina-applying")) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return child;
}

async function finish(child: Deno.ChildProcess): Promise<void> {
  const writer = child.stdin.getWriter();
  await writer.write(ARCHIVE.subarray(700));
  await writer.close();
  assertEquals((await child.status).code, 0);
}

/** Everything that can be done to other layers. */
async function useOthers(driver: GraphDriver): Promise<void> {
  assert((await Array.fromAsync(driver.layers())).length >= 3);
  await driver.createReadWrite("new", { parent: "base" });
  {
    await using _layer = await driver.get("new");
    await driver.changes("new");
  }
  await (await driver.diff("base")).pipeTo(new WritableStream());
  await driver.applyDiff("other", ReadableStream.from([ARCHIVE]));
  await driver.createFromTemplate("copy", "base");
  for (const id of ["copy", "new", "other"]) await driver.remove(id);
}

for (const name of DRIVER_NAMES) {
  testNeeding(NEEDS, `${name}: a slow apply from a pipe keeps nobody from the other layers`, async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory, name);
    await driver.create("base");
    for (const id of ["slow", "other"]) await driver.create(id, { parent: "base" });
    const child = await applySlowly(directory, driver, "slow");
    await useOthers(driver);
    await finish(child);
    assert((await driver.changes("slow")).length >= 20);
  });

  testNeeding(NEEDS, `${name}: a layer that is being filled is refused to a second writer and to readers`, async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory, name);
    await driver.create("base");
    await driver.create("slow", { parent: "base" });
    const child = await applySlowly(directory, driver, "slow");
    await assertFails(driver.applyDiff("slow", ReadableStream.from([ARCHIVE])), "layer_in_use");
    await assertFails(driver.get("slow"), "layer_in_use");
    await assertFails(driver.remove("slow"), "layer_in_use");
    await assertFails(driver.createFromTemplate("copy", "slow"), "layer_in_use");
    await finish(child);
    await using layer = await driver.get("slow");
    assertEquals((await namesIn(layer.path)).length, 20);
  });

  testNeeding(NEEDS, `${name}: what a writer locked is free when it is dead`, async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory, name);
    await driver.create("base");
    await driver.create("slow", { parent: "base" });
    const child = await applySlowly(directory, driver, "slow");
    child.kill("SIGKILL");
    await child.status;
    await child.stdin.close().catch(() => {});
    await driver.applyDiff("slow", ReadableStream.from([ARCHIVE]));
    assertEquals((await namesIn(`${driver.home}/slow`)).filter((left) => left.startsWith(".lamina-applying")), []);
  });
}

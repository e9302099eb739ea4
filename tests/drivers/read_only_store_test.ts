// SPDX-License-Identifier: Apache-2.0

/** A store that is not to be written, since its file system is read-only or it is somebody else's, can be looked at all the same. */

import "../_helpers/warm_libc.ts";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { DRIVER_NAMES, type DriverName, type GraphDriver, openDriver } from "../../mod.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { snapshot } from "../_helpers/snapshot.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { findingsOf } from "./_damaged_store.ts";

const NEEDS = [needsRoot, needsOverlay];
const ARCHIVE = tarOf([{ path: "file", data: "content" }]);
/** The `nobody` of many systems: whoever he is, he is not root. */
const SOMEBODY = 65534;

/** A store to be made and looked at. */
class Store {
  readonly root: string;

  constructor(readonly directory: TempDir, readonly driver: DriverName) {
    this.root = directory.join("root");
  }

  /** With a run root of its own, so that nothing is known from before. */
  open(runRoot: string): Promise<GraphDriver> {
    const { root, driver, directory } = this;
    return openDriver({ root, runRoot: directory.join(runRoot), driver, work: "in-place" });
  }

  async fill(): Promise<void> {
    await using driver = await this.open("run-of-maker");
    await driver.create("base");
    await driver.applyDiff("base", ReadableStream.from([ARCHIVE]), { manifest: true });
    for (const id of ["child", "empty"]) await driver.createReadWrite(id, { parent: "base" });
  }

  async remountReadOnly(): Promise<void> {
    await runOk("mount", ["--bind", this.root, this.root]);
    await runOk("mount", ["-o", "remount,bind,ro", this.root]);
  }
}

/** Looks at everything in each way there is. */
async function lookAt(driver: GraphDriver, place: string): Promise<void> {
  assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base", "child", "empty"]);
  assertEquals(await driver.changes("base"), [{ path: "/file", kind: "add" }]);
  assertEquals(await driver.changes("child"), []);
  assertEquals(await driver.verify("base"), []);
  assertEquals(await driver.diffSize("base"), 7);
  await (await driver.diff("base")).pipeTo(new WritableStream());
  await driver.status();
  for (const id of ["base", "child"]) {
    const first = await driver.get(id, { readOnly: true });
    assertEquals((await driver.getMetadata(id)).mergedDir, first.path);
    await using again = await driver.get(id, { readOnly: true });
    assertEquals(again.path, first.path);
    await driver.put(id);
    assertEquals(await namesIn(again.path), ["file"]);
    assertEquals((await Array.fromAsync(driver.layers())).filter(({ mounted }) => mounted).map((l) => l.id), [id]);
    await assertRejects(() => Deno.writeTextFile(`${again.path}/new`, ""), Error, "os error 30");
  }
  for (const ids of [["base"], ["child"], ["child", "empty"]]) {
    await using view = await driver.mountAt(place, ids, { readOnly: true });
    assertEquals([view.readOnly, await namesIn(place)], [true, ["file"]]);
  }
  assertEquals((await Array.fromAsync(driver.layers())).filter(({ mounted }) => mounted), []);
}

for (const name of DRIVER_NAMES) {
  testNeeding(NEEDS, `${name} lists, exports and mounts the layers of a read-only store`, async () => {
    await using directory = await TempDir.make();
    const store = new Store(directory, name);
    await store.fill();
    await store.remountReadOnly();
    await using driver = await store.open("run");
    const place = await directory.mkdir("place");
    await lookAt(driver, place);
    assertEquals(await findingsOf(driver, { deep: true }), []);
    // Nobody can write there, asked for or not.
    assertEquals((await driver.mountAt(place, ["child"])).readOnly, true);
    await driver.unmountAt(place);
    assertEquals(mountPointsBelow(directory.path), [store.root]);
    assertMatch((await assertFails(driver.get("child"), "store_read_only")).hint ?? "", /--read-only/);
    await assertFails(driver.create("new", { parent: "base" }), "store_read_only");
    await assertFails(driver.applyDiff("empty", ReadableStream.from([ARCHIVE])), "store_read_only");
    await assertFails(driver.remove("empty"), "store_read_only");
  });

  testNeeding(NEEDS, `${name} leaves no trace in somebody else's store that is only looked at`, async () => {
    await using directory = await TempDir.make();
    const store = new Store(directory, name);
    await store.fill();
    // The store's own directories; the content has its owners for itself.
    await runOk("find", [store.root, "-maxdepth", "2", "-exec", "chown", "-h", String(SOMEBODY), "{}", "+"]);
    const before = snapshot(store.root);
    await using driver = await store.open("run");
    await lookAt(driver, await directory.mkdir("place"));
    await findingsOf(driver, { deep: true });
    assertEquals(snapshot(store.root), before);
    assertEquals(mountPointsBelow(directory.path), []);
    // Who wants to write may, since he is root.
    await using job = await driver.get("child");
    await Deno.writeTextFile(`${job.path}/new`, "");
    assertEquals(await driver.changes("child"), [{ path: "/new", kind: "add" }]);
  });
}

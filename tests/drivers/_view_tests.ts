// SPDX-License-Identifier: Apache-2.0

/**
 * The part of the driver suite about layers at places of the user's choice.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { isMountPoint, mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { runOk } from "../_helpers/run.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import type { TestStore } from "./_test_store.ts";

type AddTest = (title: string, body: (store: TestStore) => Promise<void>) => void;

/** How the suite adds tests, and makes its base layer: `etc/hosts`, `etc/passwd`, `bin/su`, `bin/hard`. */
export interface SuiteTools {
  test: AddTest;
  testWriting: AddTest;
  testOwnBase: AddTest;
  withBase(store: TestStore): Promise<void>;
}

async function assertReadOnly(path: string): Promise<void> {
  const error = await assertRejects(() => Deno.writeTextFile(`${path}/forbidden`, ""), Error);
  assert(error.message.includes("os error 30"), error.message);
}

async function makeLayer(driver: GraphDriver, id: string, parent: string, items: readonly TarItem[]): Promise<void> {
  await driver.create(id, { parent });
  await driver.applyDiff(id, ReadableStream.from([tarOf(items)]));
}

/** Adds the tests to the run. */
export function viewTests({ test, testWriting, testOwnBase, withBase }: SuiteTools): void {
  testWriting("a layer is written at a place of the user's choice, and stays mounted as long", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await driver.createReadWrite("job", { parent: "base" });
    const place = await directory.mkdir("place");
    const { path, ids, readOnly } = await driver.mountAt(place, ["job"]);
    assertEquals({ path, ids, readOnly }, { path: await Deno.realPath(place), ids: ["job"], readOnly: false });
    assertEquals(await driver.views(), [{ path, ids, readOnly }]);
    await Deno.writeTextFile(`${place}/new`, "x");
    const job = await driver.get("job");
    assertEquals(await Deno.readTextFile(`${job.path}/new`), "x");
    // Neither the last put() nor one too many takes away what is seen elsewhere.
    await driver.put("job");
    await driver.put("job");
    assert(isMountPoint(job.path));
    assert(isMountPoint(path));
    await driver.get("job");
    assert(await driver.unmountAt(place));
    assert(!isMountPoint(path));
    assert(isMountPoint(job.path));
    await driver.put("job");
    assert(!isMountPoint(job.path));
    assertEquals(await driver.changes("job"), [{ path: "/new", kind: "add" }]);
    assertEquals(await driver.views(), []);
  });

  testWriting("a view without other users takes the mount with it", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await driver.createReadWrite("job", { parent: "base" });
    const [first, second] = [await directory.mkdir("first"), await directory.mkdir("second")];
    const { mergedDir } = await driver.getMetadata("job");
    await driver.mountAt(first, ["job"]);
    await driver.mountAt(second, ["job"], { readOnly: true });
    await driver.unmountAt(first);
    assert(isMountPoint(mergedDir));
    await Deno.writeTextFile(`${mergedDir}/new`, "x");
    assertEquals(await Deno.readTextFile(`${second}/new`), "x");
    await driver.unmountAt(second);
    assert(!isMountPoint(mergedDir));
    await driver.remove("job");
  });

  testWriting(
    "a read-only view of a layer that is being written shows what is written, and takes nothing",
    async (store) => {
      const { driver, directory } = store;
      await withBase(store);
      await driver.createReadWrite("job", { parent: "base" });
      const place = await directory.mkdir("place");
      await using job = await driver.get("job");
      await using view = await driver.mountAt(place, ["job"], { readOnly: true });
      await assertReadOnly(view.path);
      await Deno.writeTextFile(`${job.path}/new`, "x");
      assertEquals(await Deno.readTextFile(`${view.path}/new`), "x");
    },
  );

  testWriting(
    "get() read-only of a layer that is mounted to be written is refused, and the other way round",
    async (store) => {
      const { driver, directory } = store;
      await withBase(store);
      await driver.createReadWrite("job", { parent: "base" });
      {
        await using job = await driver.get("job");
        const error = await assertFails(driver.get("job", { readOnly: true }), "layer_in_use");
        assertStringIncludes(error.message, job.path);
      }
      {
        await using job = await driver.get("job", { readOnly: true });
        await using _twice = await driver.get("job", { readOnly: true });
        await assertReadOnly(job.path);
        await assertFails(driver.get("job"), "layer_in_use");
        const place = await directory.mkdir("place");
        await assertFails(driver.mountAt(place, ["job"]), "layer_in_use");
        await using view = await driver.mountAt(place, ["job"], { readOnly: true });
        await assertReadOnly(view.path);
      }
      await using job = await driver.get("job");
      await Deno.writeTextFile(`${job.path}/new`, "x");
    },
  );

  test("views of base layers, of committed layers and of chains can be read-only", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await driver.create("middle", { parent: "base" });
    await driver.create("top", { parent: "middle" });
    for (const [id, options] of [["base", { readOnly: true }], ["middle", {}], ["top", { readOnly: true }]] as const) {
      await using view = await driver.mountAt(await directory.mkdir(id), [id], options);
      assertEquals(view.readOnly, true);
      assertEquals(await Deno.readTextFile(`${view.path}/etc/hosts`), "127.0.0.1\n");
      await assertReadOnly(view.path);
    }
    await using view = await driver.mountAt(directory.join("top"), ["top"], { mountOptions: ["ro,nosuid"] });
    await assertReadOnly(view.path);
    await assertFails(driver.mountAt(directory.join("base"), ["top"], { mountOptions: ["ro,rw"] }), "invalid_argument");
  });

  testWriting("a base layer that nothing lies on is written through its view", async ({ driver, directory }) => {
    await driver.createReadWrite("scratch");
    const place = await directory.mkdir("place");
    {
      await using _view = await driver.mountAt(place, ["scratch"]);
      await Deno.writeTextFile(`${place}/new`, "x");
      await assertFails(driver.remove("scratch", { force: true }), "layer_in_use");
    }
    assertEquals(await driver.changes("scratch"), [{ path: "/new", kind: "add" }]);
  });

  test("several layers are joined: the first uppermost, what they have in common below", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await makeLayer(driver, "a", "base", [{ path: "etc/hosts", data: "a" }, { path: "a", data: "" }]);
    await makeLayer(driver, "b", "base", [{ path: "etc/hosts", data: "b" }, { path: "bin/.wh.su" }]);
    const place = await directory.mkdir("place");
    const shows = async (ids: string[]): Promise<unknown[]> => {
      await using view = await driver.mountAt(place, ids);
      assertEquals([view.ids, view.readOnly], [ids, true]);
      await assertReadOnly(place);
      return [await Deno.readTextFile(`${place}/etc/hosts`), await namesIn(place), await namesIn(`${place}/bin`)];
    };
    // Images of Docker's legacy driver are whole trees: that there is no such name hides nothing below.
    const left = driver.name === "overlay" ? ["hard", "su"] : ["hard"];
    assertEquals(await shows(["a", "b"]), ["a", ["a", "bin", "etc"], left]);
    assertEquals(await shows(["b", "a"]), ["b", ["a", "bin", "etc"], left]);
    // A layer that is below another one is not lifted above it.
    assertEquals(await shows(["base", "a"]), ["a", ["a", "bin", "etc"], ["hard", "su"]]);
    await assertFails(driver.mountAt(place, ["a", "b", "a"]), "invalid_argument");
    await assertFails(driver.mountAt(place, []), "invalid_argument");
    await assertFails(driver.mountAt(place, ["a", "no-such-layer"]), "layer_not_found");
    assertEquals(mountPointsBelow(directory.path), []);
  });

  testWriting("layers that are joined are not written meanwhile", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await driver.createReadWrite("job", { parent: "base" });
    await driver.create("empty", { parent: "base" });
    const [place, other] = [await directory.mkdir("place"), await directory.mkdir("other")];
    {
      await using _job = await driver.get("job");
      const error = await assertFails(driver.mountAt(place, ["job", "empty"]), "layer_in_use");
      assertStringIncludes(error.message, '"job"');
    }
    await using _joined = await driver.mountAt(place, ["job", "empty"]);
    await assertFails(driver.get("job"), "layer_in_use");
    await assertFails(driver.mountAt(other, ["job"]), "layer_in_use");
    const filling = driver.applyDiff("empty", ReadableStream.from([tarOf([{ path: "file", data: "" }])]));
    assertStringIncludes((await assertFails(filling, "layer_in_use")).message, place);
    await using view = await driver.mountAt(other, ["job"], { readOnly: true });
    await assertReadOnly(view.path);
    await using read = await driver.get("job", { readOnly: true });
    await assertReadOnly(read.path);
  });

  testWriting("the same view again is no second mount, and another one is refused", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    for (const id of ["job", "other"]) await driver.createReadWrite(id, { parent: "base" });
    const place = await directory.mkdir("place");
    await Deno.symlink("place", directory.join("link"));
    await using first = await driver.mountAt(place, ["job"]);
    {
      await using second = await driver.mountAt(directory.join("link"), ["job"]);
      assertEquals(second.path, first.path);
    }
    assertEquals(mountPointsBelow(place), [first.path]);
    const error = await assertFails(driver.mountAt(place, ["other"]), "layer_in_use");
    assertStringIncludes(error.message, "job");
    await assertFails(driver.mountAt(place, ["job"], { readOnly: true }), "layer_in_use");
    await assertFails(driver.mountAt(place, ["job", "other"]), "layer_in_use");
    assertEquals(mountPointsBelow(place), [first.path]);
    assert(await driver.unmountAt(directory.join("link")));
    assertEquals(mountPointsBelow(place), []);
  });

  testOwnBase("a layer in a view is not removed, not even by force, and not filled", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await driver.create("empty");
    for (const id of ["base", "empty"]) {
      await using view = await driver.mountAt(await directory.mkdir(id), [id], { readOnly: true });
      for (const force of [false, true]) {
        const error = await assertFails(driver.remove(id, { force }), "layer_in_use");
        assertStringIncludes(error.message, view.path);
      }
      const archive = ReadableStream.from([tarOf([{ path: "file", data: "" }])]);
      assertStringIncludes((await assertFails(driver.applyDiff(id, archive), "layer_in_use")).message, view.path);
    }
    for (const id of ["base", "empty"]) await driver.remove(id);
  });

  testWriting("cleanup() takes views down, and so does disposing with its own", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await driver.createReadWrite("job", { parent: "base" });
    await driver.create("other", { parent: "base" });
    await driver.mountAt(await directory.mkdir("outer"), ["job"]);
    await Deno.mkdir(directory.join("outer/inner"));
    await driver.mountAt(directory.join("outer/inner"), ["other"], { readOnly: true });
    await driver.mountAt(await directory.mkdir("joined"), ["other", "base"]);
    assertEquals((await driver.views()).length, 3);
    await driver.cleanup();
    assertEquals(await driver.views(), []);
    assertEquals(mountPointsBelow(directory.path), []);
    await driver.mountAt(directory.join("joined"), ["other", "job"]);
    await driver.mountAt(directory.join("outer"), ["other"], { readOnly: true });
    await driver[Symbol.asyncDispose]();
    assertEquals(mountPointsBelow(directory.path), []);
  });

  test("unmountAt() takes down what mountAt() made, and nothing else", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    const place = await directory.mkdir("place");
    for (const nothing of [place, directory.join("missing"), driver.home]) {
      assertEquals(await driver.unmountAt(nothing), false);
    }
    await runOk("mount", ["-t", "tmpfs", "theirs", place]);
    await assertFails(driver.unmountAt(place), "invalid_argument");
    await runOk("umount", [place]);

    await driver.mountAt(place, ["base"], { readOnly: true });
    await runOk("mount", ["-t", "tmpfs", "theirs", place]);
    await assertFails(driver.unmountAt(place), "layer_in_use");
    await driver.cleanup();
    assertEquals(mountPointsBelow(place).length, 2);
    await runOk("umount", [place]);
    assert(await driver.unmountAt(place));
    assertEquals(await driver.unmountAt(place), false);
    assertEquals(mountPointsBelow(directory.path), []);
  });

  test("a view in a view keeps the outer one", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    const outer = await directory.mkdir("outer");
    await driver.mountAt(outer, ["base"], { readOnly: true });
    await driver.create("other");
    await driver.mountAt(`${outer}/etc`, ["other"], { readOnly: true });
    assertStringIncludes((await assertFails(driver.unmountAt(outer), "layer_in_use")).message, `${outer}/etc`);
    assert(await driver.unmountAt(`${outer}/etc`));
    assert(await driver.unmountAt(outer));
  });

  test("what umount(8) took away is made again, or cleared away", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await driver.create("other", { parent: "base" });
    const place = await directory.mkdir("place");
    for (const ids of [["other"], ["other", "base"]]) {
      await driver.mountAt(place, ids, { readOnly: true });
      await runOk("umount", [place]);
      assertEquals(await driver.views(), []);
      await driver.mountAt(place, ids, { readOnly: true });
      assertEquals(mountPointsBelow(place), [place]);
      await runOk("umount", [place]);
      assert(await driver.unmountAt(place));
      assertEquals(mountPointsBelow(directory.path), []);
    }
    await driver.remove("other");
  });

  test("a place that is none is refused, and nothing is left of it", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await driver.status();
    await Deno.writeTextFile(directory.join("file"), "");
    await Deno.symlink("/", directory.join("top"));
    await Deno.symlink(driver.home, directory.join("home"));
    await Deno.symlink("circle", directory.join("circle"));
    const [runDir] = await namesIn(directory.join("run"));
    await Deno.mkdir(directory.join("bound"));
    await runOk("mount", ["--bind", driver.home, directory.join("bound")]);
    const wrong = [
      "",
      "a\0b",
      "/",
      directory.join("file"),
      directory.join("missing"),
      directory.join("circle"),
      directory.join("top"),
      directory.join("home"),
      directory.join("home/base"),
      directory.join("bound"),
      directory.join("bound/base"),
      directory.join("run"),
      directory.join("run", runDir!),
      directory.join("run", runDir!, "mounts"),
      directory.path,
      driver.home,
      `${driver.home}/base`,
      `${driver.home}/..`,
      `/${"x".repeat(256)}`,
    ];
    for (const target of wrong) await assertFails(driver.mountAt(target, ["base"]), "invalid_argument");
    await runOk("umount", [directory.join("bound")]);
    assertEquals(await driver.views(), []);
    assertEquals(mountPointsBelow(directory.path), []);
  });

  test("a place may have any name, and be reached by any", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await driver.create("other", { parent: "base" });
    for (
      const name of ["a:b,c=d", "back\\slash\\040", "line\nfeed\ttab", "blank 'quote\"", "üñí-日本", "-x", "#", "…"]
    ) {
      const place = await directory.mkdir(name);
      for (const ids of [["other"], ["other", "base"]]) {
        await using view = await driver.mountAt(`${directory.path}/./${name}//`, ids, { readOnly: true });
        assertEquals(view.path, place);
        assertEquals(await namesIn(place), ["bin", "etc"]);
        assertEquals(await driver.views(), [{ path: place, ids, readOnly: true }]);
      }
      assertEquals(mountPointsBelow(place), []);
    }
  });
}

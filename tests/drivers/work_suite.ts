// SPDX-License-Identifier: Apache-2.0

/**
 * The long operations of a driver: how they are watched, stopped and disturbed. Run against each driver, as
 * driver_suite.ts is.
 *
 * @module
 */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes } from "@std/assert";
import { AT_FDCWD, close, Fd, O_RDONLY, openat, pipe2, tryLseek } from "../../ffi/file.ts";
import type { GraphDriver, Progress } from "../../lib/drivers/driver.ts";
import { openDriver, type OpenOptions } from "../../lib/drivers/registry.ts";
import { isStorageError, StorageError } from "../../lib/errors.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { layersLeft } from "./_layers_left.ts";
import { streamOf, untilApplying } from "./driver_suite.ts";

interface TestStore {
  driver: GraphDriver;
  directory: TempDir;
}

const FILES = 300;
const FILE_SIZE = 100_000;
/** 30 MB: more than fits a pipe, so that who writes it has to wait for who reads. */
const BIG = (): Uint8Array<ArrayBuffer> =>
  tarOf(Array.from({ length: FILES }, (_, i) => ({ path: `file-${i}`, data: "x".repeat(FILE_SIZE) })));

const SMALL = tarOf([{ path: "file", data: "content", mtime: 1000 }]);

function lsFds(): string[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => name).sort();
}

async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const zipped = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(zipped).arrayBuffer());
}

/** Adds the tests to the run, under `name`. */
export function workSuite(
  name: string,
  options: OpenOptions,
  open: (options: OpenOptions) => Promise<GraphDriver> = openDriver,
): void {
  function test(title: string, body: (store: TestStore) => Promise<void>): void {
    testNeeding([needsRoot, needsOverlay], `${name}: ${title}`, async () => {
      await using directory = await TempDir.make();
      const places = { root: directory.join("root"), runRoot: directory.join("run") };
      await using driver = await open({ ...options, ...places });
      await body({ driver, directory });
    });
  }

  test("a signal that is aborted already ends each operation, and the layer stays usable", async ({ driver }) => {
    await driver.create("base");
    await driver.create("full");
    await driver.applyDiff("full", streamOf(SMALL));
    const signal = AbortSignal.abort();
    await assertFails(driver.applyDiff("base", streamOf(SMALL), { signal }), "aborted");
    await assertFails(driver.diff("full", { signal }).then((diff) => new Response(diff).bytes()), "aborted");
    await assertFails(driver.changes("full", { signal }), "aborted");
    await assertFails(driver.diffSize("full", { signal }), "aborted");
    assertEquals(await driver.changes("base"), []);
    await driver.applyDiff("base", streamOf(SMALL));
    assertEquals(await driver.changes("base"), [{ path: "/file", kind: "add" }]);
  });

  test("a diff that is aborted half-way fails, and is never a short archive", async ({ driver }) => {
    await driver.create("big");
    await driver.applyDiff("big", streamOf(BIG(), 1_000_000));
    const abort = new AbortController();
    const reader = (await driver.diff("big", { signal: abort.signal })).getReader();
    await reader.read();
    abort.abort();
    await assertFails(
      (async (): Promise<void> => {
        while (!(await reader.read()).done);
      })(),
      "aborted",
    );
    assertEquals(await driver.diffSize("big"), FILES * FILE_SIZE);
  });

  test("progress only grows, and stays within what the archive holds", async ({ driver }) => {
    await driver.create("big");
    const archive = BIG();
    const told: Progress[] = [];
    let at = 0;
    const slow = new ReadableStream<Uint8Array>({
      async pull(controller): Promise<void> {
        if (at >= archive.length) return controller.close();
        // Half a second in all: some ten reports a second are promised.
        await new Promise((resolve) => setTimeout(resolve, 15));
        controller.enqueue(archive.subarray(at, at += 1_000_000));
      },
    });
    const result = await driver.applyDiff("big", slow, { onProgress: (progress) => told.push({ ...progress }) });
    assertEquals([result.entries, result.bytes, result.sizeBytes], [FILES, archive.length, FILES * FILE_SIZE]);
    assertGreater(told.length, 1);
    for (const [i, { entries, bytes }] of told.entries()) {
      assert(entries >= (told[i - 1]?.entries ?? 0) && bytes >= (told[i - 1]?.bytes ?? 0), JSON.stringify(told));
      assert(entries <= FILES && bytes <= archive.length, JSON.stringify(told));
    }
    assertGreater(told.at(-1)!.entries, 1);
  });

  test("an archive is known by its content: tar, gzip, and from where a descriptor stands", async (store) => {
    const { driver, directory } = store;
    await driver.create("zipped");
    await driver.applyDiff("zipped", streamOf(await gzip(SMALL)));
    const plain = await new Response(await driver.diff("zipped")).bytes();
    for (const compression of ["gzip", "zstd"] as const) {
      await driver.create(compression);
      await driver.applyDiff(compression, await driver.diff("zipped", { compression }));
      assertEquals(await new Response(await driver.diff(compression)).bytes(), plain, compression);
    }
    await Deno.writeFile(directory.join("two.tar"), new Uint8Array([...new Uint8Array(512).fill(65), ...plain]));
    using file = new Fd(openat(AT_FDCWD, directory.join("two.tar"), O_RDONLY));
    tryLseek(file.fd, 512, 0);
    await driver.create("behind");
    await driver.applyDiff("behind", file);
    assertEquals(await new Response(await driver.diff("behind")).bytes(), plain);
    // It is the caller's and stays open.
    assertEquals(tryLseek(file.fd, 0, 0), 0);
  });

  test("a damaged gzip leaves the layer empty and usable", async ({ driver }) => {
    await driver.create("base");
    const zipped = await gzip(SMALL);
    const wrongSum = zipped.slice();
    wrongSum[wrongSum.length - 6]! ^= 0xff;
    for (const archive of [wrongSum, zipped.slice(0, -20)]) {
      await assertFails(driver.applyDiff("base", streamOf(archive)), "invalid_archive");
      assertEquals(await driver.diffSize("base"), 0);
    }
    await driver.applyDiff("base", streamOf(zipped));
    assertEquals(await driver.diffSize("base"), 7);
  });

  test("applyDiff() to a mounted layer is layer_in_use", async ({ driver }) => {
    await driver.create("base");
    await driver.createReadWrite("job", { parent: "base" });
    {
      await using _job = await driver.get("job");
      await assertFails(driver.applyDiff("job", streamOf(SMALL)), "layer_in_use");
    }
    await driver.applyDiff("job", streamOf(SMALL));
  });

  test("applyDiff() to an empty layer that others lie on is layer_in_use, until they are gone", async ({ driver }) => {
    await driver.create("base");
    await driver.create("middle", { parent: "base" });
    await driver.create("child", { parent: "middle" });
    for (const id of ["base", "middle"]) {
      const { message } = await assertFails(driver.applyDiff(id, streamOf(SMALL)), "layer_in_use");
      assertStringIncludes(message, "is the parent of");
      assertEquals(await driver.changes(id), []);
    }
    await driver.remove("child");
    await driver.applyDiff("middle", streamOf(SMALL));
    assertEquals(await driver.changes("middle"), [{ path: "/file", kind: "add" }]);
  });

  test("a layer that is being filled has no diff, no child and no copy yet", async ({ driver }) => {
    await driver.create("slow");
    const abort = new AbortController();
    const endless = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(SMALL.slice(0, 512)),
      pull: () => new Promise<void>(() => {}),
    }, { highWaterMark: 0 });
    const applying = driver.applyDiff("slow", endless, { signal: abort.signal });
    await untilApplying(driver, "slow");
    await assertFails(driver.diff("slow"), "layer_in_use");
    await assertFails(driver.changes("slow"), "layer_in_use");
    await assertFails(driver.diffSize("slow"), "layer_in_use");
    await assertFails(driver.diffGetter("slow"), "layer_in_use");
    await assertFails(driver.create("child", { parent: "slow" }), "layer_in_use");
    await assertFails(driver.createFromTemplate("copy", "slow"), "layer_in_use");
    assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["slow"]);
    abort.abort();
    await assertFails(applying, "aborted");
    await driver.remove("slow");
  });

  test("diffTo() a pipe that nobody reads is output_closed", async ({ driver }) => {
    await driver.create("base");
    await driver.applyDiff("base", streamOf(SMALL));
    const { readFd, writeFd } = pipe2();
    using output = new Fd(writeFd);
    close(readFd);
    await assertFails(driver.diffTo("base", output), "output_closed");
  });

  test("no operation leaves a descriptor or a mount behind, however it ends", async (store) => {
    const { driver, directory } = store;
    const round = async (id: string): Promise<void> => {
      await driver.create(id);
      await assertFails(driver.applyDiff(id, streamOf(SMALL.slice(0, 700))), "invalid_archive");
      await assertFails(driver.applyDiff(id, streamOf(SMALL), { signal: AbortSignal.abort() }), "aborted");
      await driver.applyDiff(id, streamOf(SMALL));
      await (await driver.diff(id)).cancel();
      await new Response(await driver.diff(id, { compression: "gzip" })).bytes();
      await driver.createReadWrite(`${id}-job`, { parent: id });
      {
        await using _job = await driver.get(`${id}-job`);
        await using getter = await driver.diffGetter(id);
        await (await getter.open("file")).cancel();
        await assertRejects(() => getter.open("missing"), StorageError);
      }
      await driver.remove(`${id}-job`);
      await driver.remove(id);
    };
    await round("first");
    const before = lsFds();
    for (const id of ["second", "third"]) await round(id);
    // Those of Workers that wait for their next task come and go by themselves, so the number is what counts.
    for (let i = 0; i < 100 && lsFds().length > before.length + 2; i++) {
      await new Promise((done) => setTimeout(done, 20));
    }
    assert(lsFds().length <= before.length + 2, `${before.length} descriptors before, ${lsFds().length} after`);
    assertEquals(mountPointsBelow(directory.path), []);
    assertEquals((await layersLeft(driver.home)).directories, []);
  });

  test("of many that create one layer at once one succeeds", async ({ driver }) => {
    await driver.create("base");
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, () => driver.create("same", { parent: "base" })),
    );
    const refusals = results.filter((result) => result.status === "rejected").map(({ reason }) => reason);
    assertEquals(refusals.length, 9);
    assert(refusals.every((reason) => isStorageError(reason, "layer_exists")));
    const { directories, shortNames = 2 } = await layersLeft(driver.home);
    assertEquals([directories, shortNames], [["base", "same"], 2]);
  });

  test("of many that get one layer at once all share one mount", async ({ driver }) => {
    await driver.create("base");
    await driver.createReadWrite("job", { parent: "base" });
    const layers = await Promise.all(Array.from({ length: 20 }, () => driver.get("job")));
    assertEquals(mountPointsBelow(driver.home).length, 1);
    await Promise.all(layers.slice(1).map((layer) => layer[Symbol.asyncDispose]()));
    assertEquals(mountPointsBelow(driver.home).length, 1);
    await layers[0]![Symbol.asyncDispose]();
    assertEquals(mountPointsBelow(driver.home), []);
  });

  test("many diffs and applies at once keep apart", async ({ driver }) => {
    const ids = Array.from({ length: 8 }, (_, i) => `layer-${i}`);
    await Promise.all(ids.map(async (id) => {
      await driver.create(id);
      await driver.applyDiff(id, streamOf(tarOf([{ path: id, data: id.repeat(1000) }])));
      await driver.create(`${id}-copy`);
      await driver.applyDiff(`${id}-copy`, await driver.diff(id));
    }));
    for (const id of ids) assertEquals(await driver.changes(`${id}-copy`), [{ path: `/${id}`, kind: "add" }]);
  });

  test("a layer that is not there has no ids to change, and no files", async ({ driver }) => {
    await assertFails(driver.updateLayerIdMap("no-such-layer", undefined, undefined), "layer_not_found");
    await assertFails(driver.diffGetter("no-such-layer"), "layer_not_found");
  });
}

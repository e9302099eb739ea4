// SPDX-License-Identifier: Apache-2.0

/**
 * What every driver must do, whatever it keeps on disk: run against each of them, in each of its modes.
 *
 * @module
 */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AT_FDCWD, Fd, O_CREAT, O_RDONLY, O_RDWR, openat } from "../../ffi/file.ts";
import { lsetxattr } from "../../ffi/xattr.ts";
import type { CompareOptions, GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver, type OpenOptions } from "../../lib/drivers/registry.ts";
import { StorageError } from "../../lib/errors.ts";
import { lockNewDirectory } from "../../lib/util/directory_lock.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { isMountPoint, mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree, listTree } from "../_helpers/tree.ts";
import { withoutTimes } from "../_helpers/without_times.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import { layersLeft } from "./_layers_left.ts";
import type { TestStore } from "./_test_store.ts";
import { viewTests } from "./_view_tests.ts";

/** `bytes` as a stream, in pieces that fit nothing. */
export function streamOf(bytes: Uint8Array<ArrayBuffer>, piece = 777): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = 0;
  return new ReadableStream({
    pull(controller): void {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at += piece));
    },
  });
}

const BASE: readonly TarItem[] = [
  { path: "./", type: "5", mode: 0o755, mtime: 1000 },
  { path: "etc/", type: "5", mode: 0o755, mtime: 1000 },
  { path: "etc/hosts", data: "127.0.0.1\n", mtime: 1000 },
  { path: "etc/passwd", data: "root\n", mode: 0o600, uid: 5, mtime: 1000 },
  { path: "bin/su", data: "su", mode: 0o4755, mtime: 1000 },
  { path: "bin/hard", type: "1", link: "bin/su" },
];

/** What is still mounted that nobody asked for. */
function mountsOutside(driver: GraphDriver): string[] {
  return mountPointsBelow(driver.home.slice(0, driver.home.lastIndexOf("/root")));
}

/** Waits until an apply has taken the layer: somebody else may be at work on it, and take what he is sent before. */
export async function untilApplying(driver: GraphDriver, id: string): Promise<void> {
  while (!(await namesIn(`${driver.home}/${id}`)).includes(".lamina-applying")) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** In what drivers differ. */
export interface Expectations {
  /** Whether a layer made from a template is its child, or has a copy of its content. */
  templates: "copied" | "parents";
  /**
   * Whether a changed file is seen under all names that it has below. Its layer holds but the one it was changed by, and
   * so does a diff.
   */
  seesLinks?: boolean;
  /** Whether `base` lies in an image store, as the driver's option has it: it is made by another driver on that. */
  baseInImageStore?: boolean;
  /** Whether no layer can be written in: only what images need is tested. */
  imagesOnly?: boolean;
  /** How a store is opened, if not by this process. */
  open?: (options: OpenOptions) => Promise<GraphDriver>;
  /** Whether views are tested: not where another row has them in the same way. */
  views?: boolean;
}

/** Adds the tests to the run, under `name`. */
export function driverSuite(
  name: string,
  options: OpenOptions,
  {
    templates,
    seesLinks = false,
    baseInImageStore = false,
    imagesOnly = false,
    views = options.work === "in-place",
    open = openDriver,
  }: Expectations,
): void {
  function test(title: string, body: (store: TestStore) => Promise<void>): void {
    testNeeding([needsRoot, needsOverlay], `${name}: ${title}`, async () => {
      await using directory = await TempDir.make();
      const places = { root: directory.join("root"), runRoot: directory.join("run") };
      const imageStores = baseInImageStore ? [`imagestore=${await directory.mkdir("store")}`] : [];
      const all = [...options.options ?? [], ...imageStores];
      await using driver = await open({ ...options, ...places, options: all });
      await body({ driver, directory });
    });
  }
  const testWriting: typeof test = imagesOnly ? () => {} : test;
  const testOwnBase: typeof test = baseInImageStore ? () => {} : testWriting;

  async function withBase({ driver, directory }: TestStore): Promise<void> {
    const places = { root: directory.join("store"), runRoot: directory.join("run") };
    await using store = baseInImageStore ? await openDriver({ ...options, ...places }) : undefined;
    const owner = store ?? driver;
    await owner.create("base");
    await owner.applyDiff("base", streamOf(tarOf(BASE)));
  }

  test("create() makes an empty base layer, which get() shows", async ({ driver }) => {
    await driver.create("base");
    assert(await driver.exists("base"));
    await using layer = await driver.get("base");
    assertEquals(await namesIn(layer.path), []);
  });

  test("applyDiff() fills a layer, from a stream and from a descriptor", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await driver.create("again");
    await Deno.writeFile(directory.join("a.tar"), tarOf(BASE));
    using file = new Fd(openat(AT_FDCWD, directory.join("a.tar"), O_RDONLY));
    const result = await driver.applyDiff("again", file);
    assertEquals([result.entries, result.sizeBytes], [6, 17]);
    assertEquals(await driver.diffSize("again"), 17);
    const [base, again] = [await driver.getMetadata("base"), await driver.getMetadata("again")];
    // The implied directory bin/ has no time of its own.
    await assertSameTree(base.upperDir, again.upperDir, { ignore: (path) => path === "bin" });
  });

  test("applyDiff() takes an archive without its end only where it is told to", async (store) => {
    const { driver } = store;
    await driver.create("short");
    const endless = tarOf(BASE).slice(0, -1024);
    await assertFails(driver.applyDiff("short", streamOf(endless)), "invalid_archive");
    const { entries } = await driver.applyDiff("short", streamOf(endless), { allowMissingEnd: true });
    assertEquals(entries, 6);
  });

  testWriting("a diff of a changed layer makes an identical layer elsewhere", async (store) => {
    const { driver } = store;
    await withBase(store);
    await driver.createReadWrite("job", { parent: "base" });
    {
      await using job = await driver.get("job");
      await Deno.writeTextFile(`${job.path}/etc/hosts`, "::1\n", { append: true });
      await Deno.remove(`${job.path}/etc/passwd`);
      await Deno.mkdir(`${job.path}/new`);
      await Deno.chmod(`${job.path}/bin/su`, 0o700);
    }
    const expected = [
      { path: "/bin", kind: "modify" },
      { path: "/bin/su", kind: "modify" },
      { path: "/etc", kind: "modify" },
      { path: "/etc/hosts", kind: "modify" },
      { path: "/etc/passwd", kind: "delete" },
      { path: "/new", kind: "add" },
    ];
    assertEquals(await driver.changes("job"), expected as never);
    await driver.create("copy", { parent: "base" });
    await driver.applyDiff("copy", await driver.diff("job", { compression: "gzip" }));
    assertEquals(await driver.changes("copy"), expected as never);
    await using job = await driver.get("job", { readOnly: true });
    await using copy = await driver.get("copy", { readOnly: true });
    // Which of two names decides what is seen of such a file depends on the order in which they are found.
    const isEither = (path: string): boolean => path === "bin/hard" || path === "bin/su";
    await assertSameTree(job.path, copy.path, { ignore: (path) => seesLinks && isEither(path) });
  });

  testWriting("a layer is compared with any other, or with nothing", async (store) => {
    const { driver } = store;
    await withBase(store);
    await driver.create("middle", { parent: "base" });
    await driver.applyDiff("middle", streamOf(tarOf([{ path: "etc/new", data: "1234" }, { path: "bin/.wh.hard" }])));
    await driver.createReadWrite("top", { parent: "middle" });
    await driver.create("other");
    await driver.applyDiff("other", streamOf(tarOf([{ path: "etc", data: "no directory" }])));
    {
      await using top = await driver.get("top");
      await Deno.remove(`${top.path}/etc/passwd`);
      // The layer is mounted, and is seen as it is now.
      assertEquals(await driver.changes("top", { parent: "base" }), [
        { path: "/bin", kind: "modify" },
        { path: "/bin/hard", kind: "delete" },
        { path: "/etc", kind: "modify" },
        { path: "/etc/new", kind: "add" },
        { path: "/etc/passwd", kind: "delete" },
      ]);
    }
    assertEquals(await driver.diffSize("top", { parent: "base" }), 4);
    assertEquals((await driver.changes("top", { parent: null })).map(({ path, kind }) => `${kind} ${path}`), [
      "add /bin",
      "add /bin/su",
      "add /etc",
      "add /etc/hosts",
      "add /etc/new",
    ]);
    assertEquals(await driver.diffSize("base", { parent: null }), 17);
    assertEquals((await driver.changes("other", { parent: "top" })).map(({ path, kind }) => `${kind} ${path}`), [
      "delete /bin",
      "modify /etc",
    ]);
    for (const [parent, base] of [["base", "base"], [null, undefined], ["other", "other"]] as const) {
      const copy = `copy-on-${base}`;
      await driver.create(copy, base === undefined ? {} : { parent: base });
      await driver.applyDiff(copy, await driver.diff("top", { parent }));
      await using expected = await driver.get("top", { readOnly: true });
      await using actual = await driver.get(copy, { readOnly: true });
      await assertSameTree(actual.path, expected.path);
    }
    assertEquals(mountsOutside(driver), []);
  });

  testWriting("a difference that Docker's rules miss is found on request", async (store) => {
    const { driver } = store;
    await withBase(store);
    await driver.createReadWrite("job", { parent: "base" });
    {
      await using job = await driver.get("job");
      const before = await Deno.stat(`${job.path}/etc/hosts`);
      await Deno.writeTextFile(`${job.path}/etc/hosts`, "127.0.0.2\n");
      await Deno.utime(`${job.path}/etc/hosts`, before.atime!, before.mtime!);
      lsetxattr(`${job.path}/etc/passwd`, "user.note", new Uint8Array([1]));
    }
    const modified = async (options: CompareOptions): Promise<string[]> =>
      (await driver.changes("job", options)).map(({ path }) => path);
    await driver.create("twin", { parent: "base" });
    await driver.create("above", { parent: "job" });
    for (const parent of ["base", "twin"]) {
      assertEquals(await modified({ parent }), []);
      assertEquals(await modified({ parent, compareXattrs: true }), ["/etc", "/etc/passwd"]);
      assertEquals(await modified({ parent, compareContent: true }), ["/etc", "/etc/hosts"]);
    }
  });

  test("diff() gives the same bytes each time, and as diffTo() does", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    const first = new Uint8Array(await new Response(await driver.diff("base")).arrayBuffer());
    using file = new Fd(openat(AT_FDCWD, directory.join("b.tar"), O_RDWR | O_CREAT, 0o600));
    const { bytes } = await driver.diffTo("base", file);
    assertEquals(await Deno.readFile(directory.join("b.tar")), first);
    assertEquals(bytes, first.length);
  });

  test("diff() of a layer in which nothing was done is 1024 zero bytes", async ({ driver }) => {
    await driver.create("base");
    assertEquals(await new Response(await driver.diff("base")).arrayBuffer(), new ArrayBuffer(1024));
  });

  testWriting("get() and put() are counted, and a put() too many does nothing", async (store) => {
    const { driver } = store;
    await withBase(store);
    await driver.createReadWrite("job", { parent: "base" });
    const { path } = await driver.get("job");
    assertEquals((await driver.get("job")).path, path);
    await driver.put("job");
    assert(isMountPoint(path));
    await driver.put("job");
    assert(!isMountPoint(path));
    await driver.put("job");
    await driver.put("no-such-layer");
    await using again = await driver.get("job");
    assert(isMountPoint(again.path));
  });

  testWriting("disposing a mounted layer twice puts it once", async (store) => {
    const { driver } = store;
    await withBase(store);
    await driver.createReadWrite("job", { parent: "base" });
    const [first, second] = [await driver.get("job"), await driver.get("job")];
    await first[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();
    assert(isMountPoint(second.path));
    await second[Symbol.asyncDispose]();
    assert(!isMountPoint(second.path));
  });

  testOwnBase("disposing a driver gives its own mounts back, and no others", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await driver.createReadWrite("ours", { parent: "base" });
    await driver.createReadWrite("theirs", { parent: "base" });
    const theirs = await driver.get("theirs");
    let ours: string;
    {
      await using other = await openDriver({
        ...options,
        root: directory.join("root"),
        runRoot: directory.join("run"),
      });
      ours = (await other.get("ours")).path;
      await other.get("ours");
      assert(isMountPoint(ours));
    }
    assert(!isMountPoint(ours));
    assert(isMountPoint(theirs.path));
  });

  test("sweep() removes what dead processes left, and nothing that a living one is at", async ({ driver, directory }) => {
    await driver.create("base");
    const old = new Date(Date.now() - 60_000);
    const makeOld = async (name: string): Promise<string> => {
      const path = `${driver.home}/${name}`;
      await Deno.mkdir(`${path}/diff/deep`, { recursive: true });
      await Deno.symlink(directory.path, `${path}/diff/out`);
      await Deno.utime(path, old, old);
      return path;
    };
    for (const name of [".lamina-create-OLD", ".lamina-remove-OLD", ".lamina-remap-OLD", ".lamina-other"]) {
      await makeOld(name);
    }
    for (const name of ["create", "remove", "probe"]) await Deno.mkdir(`${driver.home}/.lamina-${name}-NEW`);
    await runOk("mount", ["--bind", directory.path, await makeOld(".lamina-probe-OLD/merged")]);
    const before = await listTree(`${driver.home}/base`);
    {
      using _living = lockNewDirectory(await makeOld(".lamina-create-LOCKED"));
      using _removing = lockNewDirectory(await makeOld(".lamina-remove-LOCKED"));
      using _trying = lockNewDirectory(await makeOld(".lamina-probe-LOCKED"));
      const swept = [
        ".lamina-create-OLD",
        ".lamina-probe-NEW",
        ".lamina-probe-OLD",
        ".lamina-remap-OLD",
        ".lamina-remove-NEW",
        ".lamina-remove-OLD",
      ];
      assertEquals(await driver.sweep(), swept);
    }
    assertEquals(await driver.sweep(), [".lamina-create-LOCKED", ".lamina-probe-LOCKED", ".lamina-remove-LOCKED"]);
    const left = (await namesIn(driver.home)).filter((name) => name.startsWith(".lamina-"));
    assertEquals(left, [".lamina-create-NEW", ".lamina-other"]);
    assertEquals(await listTree(`${driver.home}/base`), before);
    assert((await Deno.stat(directory.path)).isDirectory);
  });

  testWriting("cleanup() unmounts everything", async (store) => {
    const { driver } = store;
    await withBase(store);
    for (const id of ["a", "b"]) await driver.createReadWrite(id, { parent: "base" });
    const paths = [(await driver.get("a")).path, (await driver.get("b")).path, (await driver.get("b")).path];
    await driver.cleanup();
    for (const path of paths) assert(!isMountPoint(path));
  });

  test("a committed layer and a read-only mount cannot be written", async (store) => {
    const { driver } = store;
    await withBase(store);
    await driver.create("middle", { parent: "base" });
    await driver.create("top", { parent: "middle" });
    for (const [id, get] of [["middle", {}], ["top", { readOnly: true }], ["base", { readOnly: true }]] as const) {
      await using layer = await driver.get(id, get);
      assertEquals(await Deno.readTextFile(`${layer.path}/etc/hosts`), "127.0.0.1\n");
      const error = await assertRejects(() => Deno.writeTextFile(`${layer.path}/new`, ""), Error);
      assert(error.message.includes("os error 30"), error.message);
    }
  });

  testWriting("createFromTemplate() makes a layer that looks the same", async (store) => {
    const { driver } = store;
    await withBase(store);
    await driver.createReadWrite("job", { parent: "base" });
    {
      await using job = await driver.get("job");
      await Deno.writeTextFile(`${job.path}/mine`, "x");
    }
    await driver.createFromTemplate("copy", "job");
    {
      await using copy = await driver.get("copy");
      assertEquals(await namesIn(copy.path), ["bin", "etc", "mine"]);
      await Deno.writeTextFile(`${copy.path}/other`, "y");
    }
    const other = { path: "/other", kind: "add" } as const;
    const expected = templates === "copied" ? [{ path: "/mine", kind: "add" } as const, other] : [other];
    assertEquals(await driver.changes("copy"), expected);
    await assertFails(driver.createFromTemplate("copy", "job"), "layer_exists");
    await assertFails(driver.createFromTemplate("x", "no-such-layer"), "layer_not_found");
  });

  test("diffGetter() reads files of the layer, and none outside", async (store) => {
    const { driver, directory } = store;
    await withBase(store);
    await Deno.writeTextFile(directory.join("secret"), "secret");
    await driver.create("links");
    await driver.applyDiff("links", streamOf(tarOf([{ path: "out", type: "2", link: directory.join("secret") }])));
    await using base = await driver.diffGetter("base");
    assertEquals(await new Response(await base.open("./etc/hosts")).text(), "127.0.0.1\n");
    await assertFails(base.open("../../secret"), "unsafe_path");
    await assertFails(base.open("etc"), "invalid_argument");
    await using links = await driver.diffGetter("links");
    await assertRejects(() => links.open("out"), StorageError);
  });

  test("layers() tells parents, depths and mounts, in the order of ids", async (store) => {
    const { driver } = store;
    assertEquals(await Array.fromAsync(driver.layers()), []);
    await withBase(store);
    await driver.create("b", { parent: "base" });
    await driver.create("a", { parent: "b" });
    await using _a = await driver.get("a");
    const layers = await Array.fromAsync(driver.layers());
    for (const { id, createdAt } of layers) {
      const { upperDir } = await driver.getMetadata(id);
      const { stdout } = await runOk("stat", ["-c", "%W", `${upperDir}/..`]);
      // 0 where the file system does not tell.
      assertEquals(Math.floor((createdAt?.getTime() ?? 0) / 1000), Number(stdout), id);
    }
    assertEquals(withoutTimes(layers), [
      { id: "a", parent: "b", depth: 2, mounted: true },
      { id: "b", parent: "base", depth: 1, mounted: false },
      { id: "base", parent: undefined, depth: 0, mounted: false },
    ]);
  });

  testOwnBase("remove() removes; a parent or a mounted layer only when it is free", async (store) => {
    const { driver } = store;
    await withBase(store);
    await driver.createReadWrite("job", { parent: "base" });
    const { path } = await driver.get("job");
    await assertFails(driver.remove("job"), "layer_in_use");
    await assertFails(driver.remove("base", { force: true }), "layer_in_use");
    await driver.remove("job", { force: true });
    assert(!isMountPoint(path));
    await driver.remove("base");
    await driver.remove("base");
    assertEquals(await Array.fromAsync(driver.layers()), []);
    const { directories, shortNames = 0 } = await layersLeft(driver.home);
    assertEquals([directories.filter((name) => !name.startsWith(".")), shortNames], [[], 0]);
  });

  test("each refusal has its code, and changes nothing", async (store) => {
    const { driver } = store;
    await withBase(store);
    // Also where nothing else is made in the home.
    await driver.status();
    const before = await listTree(driver.home);
    await assertFails(driver.create("base"), "layer_exists");
    await assertFails(driver.create("new", { parent: "no-such-layer" }), "parent_not_found");
    await assertFails(driver.create("new", { storageOptions: { size: "1G" } }), "not_supported");
    await assertFails(driver.createReadWrite("new", { storageOptions: { sise: "1G" } }), "invalid_argument");
    await assertFails(driver.get("no-such-layer"), "layer_not_found");
    await assertFails(driver.diff("no-such-layer"), "layer_not_found");
    await assertFails(driver.changes("no-such-layer"), "layer_not_found");
    await assertFails(driver.getMetadata("no-such-layer"), "layer_not_found");
    for (const parent of ["x", "../base", ""]) {
      const code = parent === "x" ? "layer_not_found" : "invalid_argument";
      await assertFails(driver.diffSize("base", { parent }), code);
      await assertFails(driver.changes("base", { parent }), code);
      await assertFails(driver.diff("base", { parent }), code);
    }
    const [wrongParent, filled] = baseInImageStore
      ? ["store_read_only", "store_read_only"] as const
      : ["not_supported", "layer_not_empty"] as const;
    await assertFails(driver.applyDiff("base", streamOf(tarOf(BASE)), { parent: "x" }), wrongParent);
    await assertFails(driver.applyDiff("base", streamOf(tarOf(BASE))), filled);
    for (const id of ["", ".", "..", "l", "a/b", "/a", "a\0b", ".hidden", "-x", "x".repeat(256)]) {
      await assertFails(driver.create(id), "invalid_argument");
      await assertFails(driver.remove(id, { force: true }), "invalid_argument");
      await assertFails(driver.get(id), "invalid_argument");
    }
    assertEquals(await listTree(driver.home), before);
  });

  test("an apply that fails leaves the layer as empty as before", async (store) => {
    const { driver } = store;
    await withBase(store);
    await driver.create("layer", { parent: "base" });
    // That something was made in the layer's directory and removed again shows in its own time.
    const list = async (): Promise<string[]> =>
      (await listTree(driver.home)).map((line) => line.startsWith('"layer" ') ? line.replace(/ mtime=\S+/, "") : line);
    const before = await list();
    const cut = tarOf(BASE).subarray(0, 2100).slice();
    await assertFails(driver.applyDiff("layer", streamOf(cut)), "invalid_archive");
    await assertFails(driver.applyDiff("layer", streamOf(new Uint8Array())), "invalid_archive");
    await assertFails(driver.applyDiff("layer", streamOf(cut), { allowMissingEnd: true }), "invalid_archive");
    await assertFails(driver.applyDiff("layer", streamOf(tarOf([{ path: "../x" }]))), "unsafe_path");
    const failing = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new TypeError("the network is gone")),
    });
    const error = await assertRejects(() => driver.applyDiff("layer", failing), StorageError);
    assert(error.message.includes("the network is gone"), error.message);
    assertEquals(await list(), before);
    assertEquals((await driver.applyDiff("layer", streamOf(tarOf(BASE)))).sizeBytes, 17);
  });

  testWriting("while an apply is at work nobody else uses its layer, and others are free", async (store) => {
    const { driver } = store;
    await withBase(store);
    await driver.create("slow", { parent: "base" });
    await driver.createReadWrite("other", { parent: "base" });
    const abort = new AbortController();
    const bytes = tarOf(BASE);
    const endless = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(bytes.slice(0, 1024)),
      pull: () => new Promise<void>(() => {}),
    }, { highWaterMark: 0 });
    const applying = driver.applyDiff("slow", endless, { signal: abort.signal });
    await untilApplying(driver, "slow");
    await assertFails(driver.get("slow"), "layer_in_use");
    await assertFails(driver.applyDiff("slow", streamOf(bytes)), "layer_in_use");
    await assertFails(driver.remove("slow", { force: true }), "layer_in_use");
    {
      await using other = await driver.get("other");
      assert(isMountPoint(other.path));
    }
    abort.abort();
    await assertFails(applying, "aborted");
    assertEquals((await driver.applyDiff("slow", streamOf(bytes))).sizeBytes, 17);
  });

  test("progress is told, and a diff that nobody reads on ends", async (store) => {
    const { driver } = store;
    await driver.create("big");
    const data = "x".repeat(100_000);
    const items = Array.from({ length: 300 }, (_, i) => ({ path: `file-${i}`, data }));
    const told: number[] = [];
    await driver.applyDiff("big", streamOf(tarOf(items), 100_000), { onProgress: ({ entries }) => told.push(entries) });
    assert(told.every((entries) => entries <= 300));
    const reader = (await driver.diff("big")).getReader();
    await reader.read();
    await reader.cancel();
    assertEquals(await driver.diffSize("big"), 300 * data.length);
  });

  test("status() and getMetadata() tell what docker info and inspect show", async (store) => {
    const { driver } = store;
    await withBase(store);
    await driver.create("child", { parent: "base" });
    const names = (await driver.status()).map(([name]) => name);
    assertEquals(names.slice(0, 2), ["Backing Filesystem", "Supports d_type"]);
    assertEquals((await driver.getMetadata("base")).lowerDirs, []);
    assertEquals((await driver.getMetadata("child")).lowerDirs, [(await driver.getMetadata("base")).upperDir]);
  });

  if (views) viewTests({ test, testWriting, testOwnBase, withBase });
}

// SPDX-License-Identifier: Apache-2.0

/** A second thread that moves contents changes nothing but the time that it takes. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertGreater, assertMatch, assertThrows } from "@std/assert";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, O_WRONLY, openat } from "../../ffi/file.ts";
import { openPlainArchive } from "../../lib/archive/compression.ts";
import { type HelperRequest, type RunningHelper, startHelper } from "../../lib/archive/helper_thread.ts";
import { pack, type PackOptions, type PackResult } from "../../lib/archive/pack.ts";
import { unpack, type UnpackOptions, type UnpackResult } from "../../lib/archive/unpack.ts";
import { StorageError } from "../../lib/errors.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { packFile, unpackFile } from "./_engine.ts";
import { type TarItem, tarOf } from "./_tar_of.ts";

const NEEDS = [needsRoot, ...["bash", "cat", "mount"].map(needsProgram)];

/** 12 MB: several times the memory that the threads share. */
const FILES = 1500;
const ITEMS: readonly TarItem[] = Array.from({ length: FILES }, (_, i): TarItem[] => {
  const path = `d-${i % 50}/file-${i}`;
  const own = { path, mode: i % 3 === 0 ? 0o4755 : 0o600, uid: i % 5, gid: i % 7, mtime: 1e9 + i };
  const data = `${i} `.repeat(i % 1000 === 0 ? 200_000 : 200 + (i * 37) % 2500);
  const link = i % 40 === 0 ? [{ path: `links/${i}`, type: "1", link: path }] : [];
  return [{ ...own, data, ...(i % 29 === 0 ? { pax: { "SCHILY.xattr.user.n": `${i}` } } : {}) }, ...link];
}).flat();
const ARCHIVE = tarOf(ITEMS);

const OFF = { secondThreadFrom: Infinity };
const ON = { secondThreadFrom: 0 };

/** Cells of a JobQueue. */
const POSTED = 0;
const ALIVE = 2;

/** Starts helpers, waits until they run, and tells how many jobs they were given. */
class Starter {
  readonly #queues: Int32Array<SharedArrayBuffer>[] = [];

  readonly start = (request: HelperRequest): RunningHelper => {
    const helper = startHelper(request);
    if (request.kind === "content" || request.kind === "digest") {
      const cells = new Int32Array(request.queue);
      while (Atomics.load(cells, ALIVE) === 0) Atomics.wait(cells, ALIVE, 0, 1);
      this.#queues.push(cells);
    }
    return helper;
  };

  /** Jobs of each helper. */
  get jobs(): number[] {
    return this.#queues.map((cells) => cells[POSTED]!);
  }
}

/** Unpacks the archive `path`, through a pipe if that is asked for. */
async function unpackFrom(
  source: "file" | "pipe",
  path: string,
  directory: string,
  options: UnpackOptions,
): Promise<UnpackResult> {
  if (source === "file") return unpackFile(path, directory, options);
  await Deno.mkdir(directory);
  const fifo = `${directory}.fifo`;
  await runOk("mkfifo", [fifo]);
  await using child = new Deno.Command("bash", { args: ["-c", 'cat "$0" >"$1"', path, fifo] }).spawn();
  const result = ((): UnpackResult => {
    using file = new Fd(openat(AT_FDCWD, fifo, O_RDONLY));
    using archive = openPlainArchive(file.fd);
    using root = new Fd(openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY));
    return unpack(archive, root.fd, options);
  })();
  assert((await child.status).success);
  return result;
}

/** Packs `directory` into the archive `path`, through a pipe if that is asked for. */
async function packTo(
  target: "file" | "pipe",
  directory: string,
  path: string,
  options: PackOptions,
): Promise<PackResult> {
  if (target === "file") return packFile(directory, path, options);
  const fifo = `${path}.fifo`;
  await runOk("mkfifo", [fifo]);
  await using child = new Deno.Command("bash", { args: ["-c", 'cat "$0" >"$1"', fifo, path] }).spawn();
  const result = ((): PackResult => {
    using root = new Fd(openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY));
    using archive = new Fd(openat(AT_FDCWD, fifo, O_WRONLY));
    return pack(root.fd, archive.fd, options);
  })();
  assert((await child.status).success);
  return result;
}

for (const by of ["file", "pipe"] as const) {
  for (const digest of [false, true]) {
    const how = `${by === "file" ? "a file" : "a pipe"}, ${digest ? "with" : "without"} a digest`;

    testNeeding(NEEDS, `unpack() makes the same tree with a second thread, from ${how}`, async () => {
      await using directory = await TempDir.make();
      const archive = directory.join("a.tar");
      await Deno.writeFile(archive, ARCHIVE);
      const expected = await unpackFrom(by, archive, directory.join("one"), { ...OFF, digest });
      const starter = new Starter();
      const options = { ...ON, digest, startHelper: starter.start };
      assertEquals(await unpackFrom(by, archive, directory.join("two"), options), expected);
      assertGreater(Math.min(...starter.jobs), 20, `jobs: ${starter.jobs}`);
      assertEquals(starter.jobs.length, digest ? 2 : 1);
      assertEquals([expected.entries, expected.bytes], [ITEMS.length, ARCHIVE.length]);
      // Directories that no entry mentions have the time at which they were made.
      await assertSameTree(directory.join("two"), directory.join("one"), {
        seen: (entry) => entry.type === "d" ? { ...entry, mtime: "" } : entry,
      });
    });

    testNeeding(NEEDS, `pack() makes the same bytes with a second thread, to ${how}`, async () => {
      await using directory = await TempDir.make();
      await Deno.writeFile(directory.join("a.tar"), ARCHIVE);
      unpackFile(directory.join("a.tar"), directory.join("tree"), OFF);
      const expected = await packTo(by, directory.join("tree"), directory.join("one"), { ...OFF, digest });
      const starter = new Starter();
      const options = { ...ON, digest, startHelper: starter.start };
      assertEquals(await packTo(by, directory.join("tree"), directory.join("two"), options), expected);
      assertGreater(Math.min(...starter.jobs), 20, `jobs: ${starter.jobs}`);
      assertEquals(starter.jobs.length, digest ? 2 : 1);
      await runOk("cmp", [directory.join("one"), directory.join("two")]);
    });
  }
}

for (const digest of [false, true]) {
  testNeeding(NEEDS, `a full disk in the second thread is no_space and names a file (digest: ${digest})`, async () => {
    await using directory = await TempDir.make();
    await Deno.writeFile(directory.join("a.tar"), ARCHIVE);
    const tmpfs = await directory.mkdir("tmpfs");
    await runOk("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", tmpfs]);
    const starter = new Starter();
    const options = { ...ON, digest, startHelper: starter.start };
    const error = assertThrows(() => unpackFile(directory.join("a.tar"), tmpfs, options), StorageError);
    assertEquals(error.code, "no_space", error.message);
    const path = /^Cannot unpack "([^"]+)"/.exec(error.message)?.[1];
    assert(ITEMS.some((item) => item.path === path), error.message);
    assert(error.hint?.includes("df"), error.hint);
    assertGreater(Math.min(...starter.jobs), 0);
    assertGreater((await namesIn(tmpfs)).length, 1);
  });
}

testNeeding(NEEDS, "a file that gives less than its size is an error that names it, in either thread", async () => {
  await using directory = await TempDir.make();
  await Deno.writeFile(directory.join("a.tar"), ARCHIVE);
  unpackFile(directory.join("a.tar"), directory.join("tree"), OFF);
  // A file of sysfs says that it has a page, and has a line: as one that was cut after it was looked at.
  const short = directory.join("tree", "z-short");
  await Deno.writeTextFile(short, "");
  await runOk("mount", ["--bind", "/sys/kernel/uevent_seqnum", short]);
  assertEquals((await Deno.stat(short)).size, 4096);
  for (const options of [OFF, ON]) {
    for (const digest of [false, true]) {
      for (const skipErrors of [false, true]) {
        const starter = new Starter();
        const packing = (): unknown =>
          packFile(directory.join("tree"), directory.join("b.tar"), {
            ...options,
            digest,
            skipErrors,
            startHelper: starter.start,
          });
        const error = assertThrows(packing, StorageError);
        assertEquals(error.code, "system_error", error.message);
        assertMatch(error.message, /^Cannot archive "z-short": it became shorter/);
        assertEquals(starter.jobs.length, (options === ON ? 1 : 0) + (digest ? 1 : 0));
      }
    }
  }
});

const ROUNDS = 20;

interface Held {
  files: number;
  threads: number;
}

/** What this process holds when Workers that were told to end, which takes them a moment, are gone. */
async function held(): Promise<Held> {
  let last: Held = { files: 0, threads: 0 };
  for (let left = 50; left > 0; left--) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const now = {
      files: (await namesIn("/proc/self/fd")).length,
      threads: await countWorkers(),
    };
    if (now.files === last.files && now.threads === last.threads) break;
    last = now;
  }
  return last;
}

/** Deno has threads of its own that come and go; those of Workers are called `worker-N`. */
async function countWorkers(): Promise<number> {
  const names = await Promise.all(
    (await namesIn("/proc/self/task")).map((id) => Deno.readTextFile(`/proc/self/task/${id}/comm`).catch(() => "")),
  );
  return names.filter((name) => name.startsWith("worker-")).length;
}

async function assertNothingLeft(before: Held): Promise<void> {
  const after = await held();
  const message = `before: ${JSON.stringify(before)}, after ${ROUNDS} rounds: ${JSON.stringify(after)}`;
  assert(after.files <= before.files, message);
  assert(after.threads <= before.threads, message);
}

/** Ends the work at its `last` look. */
function abortAt(last: number): { tick(): void } {
  let ticks = 0;
  return {
    tick(): void {
      if (++ticks >= last) throw new StorageError("aborted", "The operation was aborted");
    },
  };
}

testNeeding(NEEDS, "an aborted unpack() with a second thread leaves no open file and no thread", async () => {
  await using directory = await TempDir.make();
  await Deno.writeFile(directory.join("a.tar"), ARCHIVE);
  const options = { ...ON, digest: true, startHelper: new Starter().start };
  const round = async (i: number): Promise<void> => {
    const control = abortAt(1 + Math.floor((FILES * i) / ROUNDS));
    const unpacking = (): unknown => unpackFile(directory.join("a.tar"), directory.join("t"), { ...options, control });
    assertEquals(assertThrows(unpacking, StorageError).code, "aborted");
    await Deno.remove(directory.join("t"), { recursive: true });
  };
  await round(ROUNDS / 2);
  const before = await held();
  for (let i = 0; i < ROUNDS; i++) await round(i);
  await assertNothingLeft(before);
});

testNeeding(NEEDS, "an aborted pack() with a second thread leaves no open file and no thread", async () => {
  await using directory = await TempDir.make();
  await Deno.writeFile(directory.join("a.tar"), ARCHIVE);
  unpackFile(directory.join("a.tar"), directory.join("tree"), OFF);
  const options = { ...ON, digest: true, startHelper: new Starter().start };
  const round = (i: number): void => {
    const control = abortAt(1 + Math.floor((FILES * i) / ROUNDS));
    const packing = (): unknown => packFile(directory.join("tree"), directory.join("b.tar"), { ...options, control });
    assertEquals(assertThrows(packing, StorageError).code, "aborted");
  };
  round(ROUNDS / 2);
  const before = await held();
  for (let i = 0; i < ROUNDS; i++) round(i);
  await assertNothingLeft(before);
});

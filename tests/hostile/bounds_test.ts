// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { Buffer } from "node:buffer";
import { gzipSync } from "node:zlib";
import { assert, assertEquals, assertLess } from "@std/assert";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { openPlainArchive } from "../../lib/archive/compression.ts";
import { unpack } from "../../lib/archive/unpack.ts";
import { StorageError } from "../../lib/errors.ts";
import type { WorkControl } from "../../lib/util/work_control.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarBody, type TarItem } from "../archive/_tar_of.ts";
import { failureOf } from "./_hostile_case.ts";

const NEEDS = [needsRoot, needsProgram("bash"), needsProgram("mkfifo")];
const MIB = 1024 * 1024;

/** Ends the work after a while, as an AbortSignal in another thread would. */
class AbortAfter implements WorkControl {
  readonly #deadline: number;

  constructor(milliseconds: number) {
    this.#deadline = performance.now() + milliseconds;
  }

  tick(): void {
    if (performance.now() > this.#deadline) throw new StorageError("aborted", "The operation was aborted");
  }
}

/** What came of an archive that never was a file. */
interface Outcome {
  error: StorageError | undefined;
  milliseconds: number;
  /** By how much the process grew at most, as far as can be seen from before and after. */
  grownBytes: number;
  names: string[];
}

/** Unpacks what `script` writes, through a fifo, with `head` in the file `head` beside it. */
async function unpackStream(script: string, head: Uint8Array, control?: WorkControl): Promise<Outcome> {
  await using directory = await TempDir.make();
  const fifo = directory.join("fifo");
  await Deno.writeFile(directory.join("head"), head);
  await new Deno.Command("mkfifo", { args: [fifo] }).output();
  const root = await directory.mkdir("root");
  const writer = new Deno.Command("bash", {
    args: ["-c", `{ ${script}; } >fifo`],
    cwd: directory.path,
    stderr: "null",
  }).spawn();
  const [start, before] = [performance.now(), Deno.memoryUsage().rss];
  const error = failureOf(() => {
    using file = new Fd(openat(AT_FDCWD, fifo, O_RDONLY));
    using archive = openPlainArchive(file.fd);
    using opened = new Fd(openat(AT_FDCWD, root, O_RDONLY | O_DIRECTORY));
    unpack(archive, opened.fd, control === undefined ? {} : { control });
  });
  const outcome = {
    error,
    milliseconds: performance.now() - start,
    grownBytes: Deno.memoryUsage().rss - before,
    names: await namesIn(root),
  };
  // The pipe's reading end is closed: who writes gets SIGPIPE.
  await writer.status;
  return outcome;
}

const GIGABYTE_OF_ZEROS = "head -c 1G /dev/zero";

for (
  const [what, type] of [["pax header", "x"], ["global pax header", "g"], ["GNU long name", "L"], [
    "GNU long link",
    "K",
  ]]
) {
  testNeeding(NEEDS, `unpack() of a ${what} of 1 GB is invalid_archive at once, in little memory`, async () => {
    const head = tarBody([{ path: "x", type: type!, size: 2 ** 30 }]);
    const { error, milliseconds, grownBytes, names } = await unpackStream(`cat head; ${GIGABYTE_OF_ZEROS}`, head);
    assertEquals(error?.code, "invalid_archive", error?.message);
    assertLess(milliseconds, 2000);
    assertLess(grownBytes, 64 * MIB);
    assertEquals(names, []);
  });
}

testNeeding(NEEDS, "unpack() of a pax record that says 1 GB in a small header is invalid_archive", async () => {
  const head = tarBody([{ path: "x", type: "x", data: "1073741824 path=a\n" }, { path: "a" }]);
  const { error } = await unpackStream("cat head", head);
  assertEquals(error?.code, "invalid_archive", error?.message);
});

/** `cat head` for ever. */
const ENDLESS = "while cat head; do :; done";

const ENDLESS_ARCHIVES: readonly (readonly [string, readonly TarItem[]])[] = [
  ["the same file", [{ path: "a", data: "x" }]],
  ["the same directory", [{ path: "a/", type: "5" }]],
  ["whiteouts of the same name", [{ path: ".wh.a" }]],
  ["aufs leftovers", [{ path: ".wh..wh.plnk/1" }]],
];

for (const [what, items] of ENDLESS_ARCHIVES) {
  testNeeding(NEEDS, `unpack() of endless entries, ${what}, can be aborted and needs little memory`, async () => {
    const head = Buffer.concat(Array.from({ length: 500 }, () => tarBody(items)));
    const { error, milliseconds, grownBytes } = await unpackStream(ENDLESS, head, new AbortAfter(500));
    assertEquals(error?.code, "aborted", error?.message);
    assertLess(milliseconds, 2000);
    assertLess(grownBytes, 64 * MIB);
  });
}

testNeeding(NEEDS, "unpack() of a file that never ends can be aborted", async () => {
  const head = tarBody([{ path: "a", size: 0o77777777777 }]);
  const { error, milliseconds } = await unpackStream("cat head; cat /dev/zero", head, new AbortAfter(300));
  assertEquals(error?.code, "aborted", error?.message);
  assertLess(milliseconds, 2000);
});

testNeeding(NEEDS, "unpack() of zeros that never end behind an archive's end can be aborted", async () => {
  const { error, milliseconds } = await unpackStream("cat /dev/zero", new Uint8Array(), new AbortAfter(300));
  assertEquals(error?.code, "aborted", error?.message);
  assertLess(milliseconds, 2000);
});

testNeeding(NEEDS, "unpack() of data that nobody wants and that never end can be aborted", async () => {
  const head = tarBody([{ path: ".wh.a", size: 0o77777777777 }]);
  const { error, milliseconds } = await unpackStream(
    "cat head; timeout 5 cat /dev/zero",
    head,
    new AbortAfter(300),
  );
  assertEquals(error?.code, "aborted", error?.message);
  assertLess(milliseconds, 2000);
});

testNeeding(NEEDS, "unpack() of extended headers that never end is invalid_archive", async () => {
  const one = tarBody([{ path: "x", type: "x", data: "10 path=a\n" }]);
  const head = Buffer.concat(Array.from({ length: 1000 }, () => one));
  const { error, milliseconds } = await unpackStream(
    "timeout 5 bash -c 'while cat head; do :; done'",
    head,
    // Only if it is not refused: on a busy machine the source may be slow to begin.
    new AbortAfter(4000),
  );
  assertEquals(error?.code, "invalid_archive", error?.message);
  assertLess(milliseconds, 4000);
});

for (const size of [2 ** 33, 2 ** 62]) {
  testNeeding(NEEDS, `unpack() of a gzip bomb whose file says ${size} bytes is invalid_archive`, async () => {
    await using directory = await TempDir.make();
    const claim: TarItem = size < 2 ** 33 ? { path: "a", size } : { path: "a", pax: { size: String(size) } };
    const bomb = gzipSync(Buffer.concat([tarBody([claim]), Buffer.alloc(16 * MIB)]));
    await Deno.writeFile(directory.join("a.tar.gz"), bomb);
    const root = await directory.mkdir("root");
    using file = new Fd(openat(AT_FDCWD, directory.join("a.tar.gz"), O_RDONLY));
    let error: StorageError | undefined;
    {
      using archive = openPlainArchive(file.fd);
      await archive.ready;
      using opened = new Fd(openat(AT_FDCWD, root, O_RDONLY | O_DIRECTORY));
      error = failureOf(() => unpack(archive, opened.fd));
    }
    assertEquals(error?.code, "invalid_archive", error?.message);
    for (const name of await namesIn(root)) assert((await Deno.stat(`${root}/${name}`)).size <= 16 * MIB);
  });
}

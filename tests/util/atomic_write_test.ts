// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { filesIn, replaceFile, syncPaths, writeBack, writeNewFile } from "../../lib/util/atomic_write.ts";
import { replaceFileQuickly } from "../../lib/util/run_file.ts";
import { assertErrno, assertErrnoOf } from "../_helpers/assert_errno.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

function mode(path: string): number {
  return Deno.statSync(path).mode! & 0o7777;
}

Deno.test("writeNewFile() makes a file with exactly its mode, whatever the umask", () => {
  using directory = TempDir.makeSync();
  const before = Deno.umask(0o077);
  try {
    writeNewFile(directory.join("file"), "ü\n", 0o666);
  } finally {
    Deno.umask(before);
  }
  assertEquals(Deno.readTextFileSync(directory.join("file")), "ü\n");
  assertEquals(mode(directory.join("file")), 0o666);
});

Deno.test("writeNewFile() touches nothing that is there, a dangling link included", () => {
  using directory = TempDir.makeSync();
  Deno.writeTextFileSync(directory.join("file"), "old");
  Deno.symlinkSync("missing", directory.join("link"));
  for (const name of ["file", "link"]) assertErrno(() => writeNewFile(directory.join(name), "new", 0o600), "EEXIST");
  assertEquals(Deno.readTextFileSync(directory.join("file")), "old");
  assertEquals([...Deno.readDirSync(directory.path)].length, 2);
});

Deno.test("replaceFile() replaces content, mode and link, and leaves no other name", async () => {
  await using directory = await TempDir.make();
  await Deno.writeTextFile(directory.join("target"), "kept");
  await Deno.symlink("target", directory.join("file"));
  replaceFile(directory.join("file"), "first", 0o600);
  replaceFile(directory.join("file"), "", 0o644);
  assertEquals(await Deno.readTextFile(directory.join("file")), "");
  assertEquals(mode(directory.join("file")), 0o644);
  assertEquals(await Deno.readTextFile(directory.join("target")), "kept");
  assertEquals(await namesIn(directory.path), ["file", "target"]);
});

Deno.test("replaceFile() that fails leaves what was there, and nothing else", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("file");
  assertErrno(() => replaceFile(directory.join("file"), "new", 0o600), "EISDIR");
  assertEquals(await namesIn(directory.path), ["file"]);
  assertErrno(() => replaceFile(directory.join("missing", "file"), "new", 0o600), "ENOENT");
});

Deno.test("replaceFile() and replaceFileQuickly() are never seen half done", async () => {
  await using directory = await TempDir.make();
  const path = directory.join("file");
  const contents = ["a".repeat(50_000), "b".repeat(10)];
  for (
    const replace of [
      (text: string): void => replaceFile(path, text, 0o600),
      (text: string): void => replaceFileQuickly(path, text),
    ]
  ) {
    replace(contents[0]!);
    const isDone = { value: false };
    const reading = (async (): Promise<number> => {
      let seen = 0;
      while (!isDone.value) {
        assert(contents.includes(await Deno.readTextFile(path)));
        seen++;
      }
      return seen;
    })();
    for (let i = 0; i < 100; i++) {
      replace(contents[i % 2]!);
      if (i % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    isDone.value = true;
    assert(await reading > 0);
  }
});

Deno.test("what cannot be synced is told by the kernel's own name for it", async () => {
  await using directory = await TempDir.make();
  await Deno.writeTextFile(directory.join("file"), "x");
  await Deno.symlink("/proc/self/status", directory.join("link"));
  await directory.mkdir("below");
  assertEquals(filesIn(directory.path), [directory.join("file")]);
  await syncPaths([directory.path, directory.join("file"), directory.join("below")]);
  await assertErrnoOf(syncPaths([directory.path, directory.join("missing")]), "ENOENT");
  await assertErrnoOf(syncPaths(["/proc/self/status"]), "EINVAL");
  await writeBack([directory.join("file")]);
  await assertErrnoOf(writeBack([directory.join("file"), directory.join("missing")]), "ENOENT");
});

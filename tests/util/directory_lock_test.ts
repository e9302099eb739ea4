// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { lockDirectory, tryLockDirectory } from "../../lib/util/directory_lock.ts";
import { lockHolderOf } from "../../lib/util/lock_holder.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { needsProgram, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

/** In one go, so that nobody who waits in this thread finds no directory. */
function replaceDirectory(path: string, aside: string): void {
  Deno.renameSync(path, aside);
  Deno.mkdirSync(path);
}

Deno.test("lockDirectory() excludes others of the same process until it is disposed", async () => {
  await using directory = await TempDir.make();
  const order: string[] = [];
  const first = await lockDirectory(directory.path, "exclusive");
  const second = lockDirectory(directory.path, "exclusive").then((lock) => {
    order.push("second");
    lock?.[Symbol.dispose]();
  });
  assertEquals(tryLockDirectory(directory.path, "shared"), "busy");
  await new Promise((resolve) => setTimeout(resolve, 20));
  order.push("first ends");
  first?.[Symbol.dispose]();
  await second;
  assertEquals(order, ["first ends", "second"]);
});

Deno.test("lockDirectory() lets readers in together", async () => {
  await using directory = await TempDir.make();
  using _first = await lockDirectory(directory.path, "shared");
  using _second = await lockDirectory(directory.path, "shared");
  assertEquals(tryLockDirectory(directory.path, "exclusive"), "busy");
});

Deno.test("lockDirectory() of what is no directory is undefined", async () => {
  await using directory = await TempDir.make();
  await Deno.writeTextFile(directory.join("file"), "");
  await Deno.symlink(".", directory.join("link"));
  for (const name of ["none", "file", "link"]) {
    assertEquals(await lockDirectory(directory.join(name), "exclusive"), undefined);
  }
});

testNeeding([needsProgram("flock")], "a lock is free when the process that held it is killed", async () => {
  await using directory = await TempDir.make();
  // -o: what flock(1) runs does not hold the lock with it.
  const args = ["-o", directory.path, "sh", "-c", "echo ready; exec sleep 60"];
  const holder = new Deno.Command("flock", { args, stdout: "piped" }).spawn();
  const reader = holder.stdout.getReader();
  await reader.read();
  const { stdout: sleeper } = await runOk("pgrep", ["-P", String(holder.pid)]);
  assertEquals(tryLockDirectory(directory.path, "exclusive"), "busy");
  holder.kill("SIGKILL");
  await holder.status;
  Deno.kill(Number(sleeper), "SIGKILL");
  await reader.cancel();
  using lock = await lockDirectory(directory.path, "exclusive");
  assert(lock !== undefined);
});

Deno.test("lockDirectory() takes the directory that has the name, not one that was renamed away", async () => {
  await using directory = await TempDir.make();
  const path = await directory.mkdir("layer");
  const old = await lockDirectory(path, "exclusive");
  const waiting = lockDirectory(path, "exclusive");
  replaceDirectory(path, directory.join("aside"));
  // The old lock is on what lies aside: whoever has the new directory need not wait for it.
  using lock = await waiting;
  assert(lock !== undefined);
  assertEquals(tryLockDirectory(path, "shared"), "busy");
  assertEquals(tryLockDirectory(directory.join("aside"), "shared"), "busy");
  old?.[Symbol.dispose]();
  assertEquals(tryLockDirectory(path, "shared"), "busy");
  using aside = await lockDirectory(directory.join("aside"), "exclusive");
  assert(aside !== undefined);
});

Deno.test("lockDirectory() that waits for a directory that goes away finds none", async () => {
  await using directory = await TempDir.make();
  const path = await directory.mkdir("layer");
  using _old = await lockDirectory(path, "exclusive");
  const waiting = lockDirectory(path, "exclusive");
  await Deno.rename(path, directory.join("aside"));
  assertEquals(await waiting, undefined);
});

testNeeding(
  [needsProgram("flock")],
  "lockDirectory() gives up on a lock that is held long, and says who holds it",
  async () => {
    await using directory = await TempDir.make();
    const holder = new Deno.Command("flock", { args: ["-F", directory.path, "cat"], stdin: "piped" }).spawn();
    try {
      // Looked at, and not taken: it is the holder's.
      while (lockHolderOf(directory.path) === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
      const error = await assertFails(lockDirectory(directory.path, "exclusive", 30), "layer_in_use");
      assertMatch(error.message, new RegExp(`process ${holder.pid} \\((cat|flock)\\)`));
    } finally {
      await holder.stdin.close();
      await holder.status;
    }
    assertEquals(lockHolderOf(directory.path), undefined);
    assertEquals(lockHolderOf(directory.join("none")), undefined);
  },
);

// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { DirectoryWatch, type NameChange } from "../../lib/util/directory_watch.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

Deno.test("a watched directory tells which names came, went and were renamed, once", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("home");
  const path = (name: string): string => directory.join("home", name);
  await Deno.mkdir(path("old"));
  using watch = DirectoryWatch.tryMake(directory.join("home"))!;
  assertEquals(watch.changedNames(), new Map());
  await Deno.mkdir(path("a"));
  await Deno.rename(path("a"), path("ü"));
  await Deno.remove(path("old"));
  await Deno.mkdir(path("ü/below"));
  assertEquals(watch.changedNames(), new Map<string, NameChange>([["a", "made"], ["ü", "moved"], ["old", "went"]]));
  assertEquals(watch.changedNames(), new Map());
});

Deno.test("a watched directory that is removed, or whose events got lost, says so", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("home");
  {
    using watch = DirectoryWatch.tryMake(directory.join("home"))!;
    const most = Number(await Deno.readTextFile("/proc/sys/fs/inotify/max_queued_events"));
    for (let i = 0; i <= most / 2; i++) {
      await Deno.mkdir(directory.join("home", "x"));
      await Deno.remove(directory.join("home", "x"));
    }
    assertEquals(watch.changedNames(), undefined);
    assertEquals(watch.changedNames(), new Map());
  }
  using watch = DirectoryWatch.tryMake(directory.join("home"))!;
  await Deno.remove(directory.join("home"));
  assertEquals(watch.changedNames(), undefined);
});

Deno.test("a watched directory tells all names that changed, also when they are more than one look takes", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("home");
  using watch = DirectoryWatch.tryMake(directory.join("home"))!;
  // Names of 255 bytes: 300 of them take more than 64 KiB.
  const names = Array.from({ length: 300 }, (_, i) => `${i}-`.padEnd(255, "x"));
  for (const name of names) await Deno.mkdir(directory.join("home", name));
  assertEquals(watch.changedNames(), new Map<string, NameChange>(names.map((name) => [name, "made"])));
  assertEquals(watch.changedNames(), new Map());
});

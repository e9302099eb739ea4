// SPDX-License-Identifier: Apache-2.0

/** Names that came or went are never missed, however soon after the last look, and whoever changed them. */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { Stat, statat } from "../../ffi/stat.ts";
import { AT_FDCWD } from "../../ffi/file.ts";
import { lmtimeat } from "../../ffi/owner.ts";
import { DirectoryNames } from "../../lib/util/directory_names.ts";
import { isUnchanged, showsNextChange } from "../../lib/util/modification_time.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const HOUR_S = 3600;

Deno.test("names are seen as they come and go, also many within a tick of the clock", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("run");
  const names = new DirectoryNames(directory.join("run"));
  assertEquals(names.read(), new Set());
  for (let i = 0; i < 200; i++) {
    await Deno.mkdir(directory.join("run", "views"));
    assertEquals(names.read(), new Set(["views"]));
    await Deno.remove(directory.join("run", "views"));
    assertEquals(names.read(), new Set());
  }
});

Deno.test("names are seen that come to a directory which was the same for long", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("run/features");
  const path = directory.join("run");
  const names = new DirectoryNames(path);
  lmtimeat(AT_FDCWD, path, Math.floor(Date.now() / 1000) - HOUR_S, 1);
  for (let i = 0; i < 3; i++) assertEquals(names.read(), new Set(["features"]));
  await Deno.mkdir(directory.join("run", "views"));
  assertEquals(names.read(), new Set(["features", "views"]));
});

Deno.test("a directory that is not there, comes, is replaced by one of the same time, and goes, tells its own names", async () => {
  await using directory = await TempDir.make();
  const path = directory.join("run");
  const names = new DirectoryNames(path);
  assertEquals(names.read(), new Set());
  const seconds = Math.floor(Date.now() / 1000) - HOUR_S;
  for (const name of ["one", "two"]) {
    await directory.mkdir(`${name}/${name}`);
    lmtimeat(AT_FDCWD, directory.join(name), seconds, 1);
  }
  await Deno.rename(directory.join("one"), path);
  assertEquals(names.read(), new Set(["one"]));
  await Deno.rename(path, directory.join("one"));
  await Deno.rename(directory.join("two"), path);
  assertEquals(names.read(), new Set(["two"]));
  await Deno.remove(path, { recursive: true });
  assertEquals(names.read(), new Set());
});

Deno.test("a time tells something when it is older than a tick of the clock, and a whole second when it is older than two", async () => {
  await using directory = await TempDir.make();
  const path = directory.join(".");
  const stat = new Stat();
  const at = (ageMs: number, nanoseconds: number): Stat => {
    lmtimeat(AT_FDCWD, path, Math.floor((Date.now() - ageMs) / 1000), nanoseconds);
    return statat(AT_FDCWD, path, stat);
  };
  assertEquals(showsNextChange(at(-HOUR_S * 1000, 1)), false);
  assertEquals(showsNextChange(at(0, 999_999_999)), false);
  assertEquals(showsNextChange(at(1500, 1)), true);
  assertEquals(showsNextChange(at(1500, 0)), false);
  assertEquals(showsNextChange(at(5000, 0)), true);
  const before = at(5000, 5).clone();
  assertEquals(isUnchanged(statat(AT_FDCWD, path), before), true);
  assertEquals(isUnchanged(at(5000, 6), before), false);
});

// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { StorageError } from "../../lib/errors.ts";
import { overrideOptions, parseMountOptions } from "../../lib/mount/mount_options.ts";
import { mountOverlay } from "../../lib/mount/overlay_mount.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];

Deno.test("parseMountOptions() takes words and lists of them, labels quoted or not", () => {
  const rows: readonly [words: string[], expected: string[]][] = [
    [[], []],
    [["", ",", " , "], []],
    [["ro"], ["ro"]],
    [["nodev,nosuid", "noexec"], ["nodev", "nosuid", "noexec"]],
    [[" nodev , xino=off "], ["nodev", "xino=off"]],
    [["volatile", "volatile"], ["volatile"]],
    [["redirect_dir=follow,metacopy=off,index=on,xino=auto"], [
      "redirect_dir=follow",
      "metacopy=off",
      "index=on",
      "xino=auto",
    ]],
    [['context="u:r:t:s0:c1,c2",nodev'], ["context=u:r:t:s0:c1,c2", "nodev"]],
    [['nodev,fscontext="u:r:t:s0:c1,c2"'], ["nodev", "fscontext=u:r:t:s0:c1,c2"]],
    [["context=u:r:t:s0"], ["context=u:r:t:s0"]],
    [["some_option_of_a_newer_kernel=7", "another"], ["some_option_of_a_newer_kernel=7", "another"]],
  ];
  for (const [words, expected] of rows) assertEquals(parseMountOptions(words), expected, words.join(" "));
});

const CONFLICTS: readonly (readonly [string, string])[] = [
  ["ro", "rw"],
  ["ro", "volatile"],
  ["sync", "ro"],
  ["sync", "volatile"],
  ["sync", "async"],
  ["dev", "nodev"],
  ["suid", "nosuid"],
  ["exec", "noexec"],
  ["metacopy=on", "redirect_dir=off"],
  ["redirect_dir=nofollow", "metacopy=on"],
  ["metacopy=on", "nfs_export=on"],
  ["userxattr", "metacopy=on"],
  ["userxattr", "redirect_dir=on"],
  ["index=off", "nfs_export=on"],
  ["verity=require", "metacopy=off"],
  ["context=u:r:t", "defcontext=u:r:t"],
  ["index=on", "index=off"],
  ["context=u:r:t", "context=u:r:other"],
];

Deno.test("parseMountOptions() refuses options that exclude each other, in either order", () => {
  for (const pair of CONFLICTS) {
    for (const words of [[...pair], [pair.join(",")], [pair[1], "nodev_x", pair[0]]]) {
      const error = assertThrows(() => parseMountOptions(words), StorageError, undefined, words.join(" "));
      assertEquals(error.code, "invalid_argument");
      for (const option of pair) assertStringIncludes(error.message, `"${option}"`);
    }
    for (const option of pair) parseMountOptions([option]);
  }
});

Deno.test("parseMountOptions() refuses directories, wrong values, and characters that mean something to mount(2)", () => {
  const wrong = [
    "lowerdir=/etc",
    "lowerdir+=/etc",
    "upperdir=/etc",
    "workdir=/etc",
    "nodev,upperdir=/etc",
    "ro=1",
    "volatile=yes",
    "userxattr=on",
    "index=yes",
    "index",
    "xino=1",
    "redirect_dir=",
    "x=\\",
    'x="a,b"',
    "x=a\nb",
    "x\0",
    'context="u:r:t',
    'context="u:r:t"x',
    "context=",
    "context=nolabel",
  ];
  for (const option of wrong) {
    const error = assertThrows(() => parseMountOptions([option]), StorageError, undefined, option);
    assertEquals(error.code, "invalid_argument", option);
  }
});

Deno.test("overrideOptions() leaves of the defaults what is not said otherwise", () => {
  const defaults = ["index=off", "redirect_dir=off", "nodev"];
  assertEquals(overrideOptions(defaults, []), defaults);
  assertEquals(overrideOptions(defaults, ["index=on", "noexec"]), ["redirect_dir=off", "nodev", "index=on", "noexec"]);
});

/** Mount options, and those of the file system, as /proc/self/mountinfo shows them. */
async function shownAt(target: string): Promise<string[]> {
  const line = (await Deno.readTextFile("/proc/self/mountinfo")).split("\n").find((l) => l.split(" ")[4] === target);
  const fields = line?.split(" ") ?? [];
  return [fields[5] ?? "", fields.at(-1) ?? ""].flatMap((list) => list.split(","));
}

/** What is asked for, and what the kernel then shows. */
const SHOWN: readonly [asked: string, shown: string[]][] = [
  ["ro", ["ro"]],
  ["nodev,nosuid,noexec", ["nodev", "nosuid", "noexec", "rw"]],
  ["sync", ["sync"]],
  ["rw,suid,dev,exec,async", ["rw"]],
  ["volatile", ["fsync=volatile"]],
  ["index=on", ["index=on"]],
  ["metacopy=on,redirect_dir=on", ["metacopy=on", "redirect_dir=on"]],
  ["redirect_dir=nofollow", ["redirect_dir=nofollow"]],
  // On one file system alone there is nothing for it to do.
  ["xino=on", ["rw"]],
  ["userxattr", ["userxattr"]],
];

for (const api of ["new", "classic", "from"] as const) {
  testNeeding(NEEDS, `by ${api} the kernel gets every option that is asked for`, async () => {
    await using directory = await TempDir.make();
    const lower = await directory.mkdir("lower");
    for (const [i, [asked, expected]] of SHOWN.entries()) {
      const target = await directory.mkdir(`target${i}`);
      const upper = { upperDir: await directory.mkdir(`upper${i}`), workDir: await directory.mkdir(`work${i}`) };
      mountOverlay({ lowerDirs: [lower], upper, options: parseMountOptions([asked]) }, target, api);
      const shown = await shownAt(target);
      for (const option of expected) assert(shown.includes(option), `${asked}: ${shown.join(",")}`);
    }
  });
}

// SPDX-License-Identifier: Apache-2.0

/** That overlay2's files are Docker's, byte for byte, and that damaged ones are told apart from missing ones. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { openDriver, type OpenOptions } from "../../lib/drivers/registry.ts";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { isMountPoint } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { streamOf } from "./driver_suite.ts";

const NEEDS = [needsRoot, needsOverlay];

async function open(directory: TempDir, options: OpenOptions = {}): Promise<GraphDriver> {
  return await openDriver({
    root: directory.join("root"),
    runRoot: directory.join("run"),
    work: "in-place",
    ...options,
  });
}

testNeeding(NEEDS, "overlay2 lays layers out as Docker does", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await driver.create("middle", { parent: "base" });
  await driver.createReadWrite("top", { parent: "middle" });
  const home = directory.join("root/overlay2");
  const read = (file: string): Promise<string> => Deno.readTextFile(`${home}/${file}`);
  const links = { base: await read("base/link"), middle: await read("middle/link") };
  for (const [id, link] of Object.entries(links)) {
    assertMatch(link, /^[A-Z2-7]{26}$/);
    assertEquals(await Deno.readLink(`${home}/l/${link}`), `../${id}/diff`);
  }
  assertEquals(await read("middle/lower"), `l/${links.base}`);
  assertEquals(await read("top/lower"), `l/${links.middle}:l/${links.base}`);
  assertEquals(await read("middle/committed"), "");
  const { stdout } = await runOk("find", [".", "-not", "-path", "./l/*", "-printf", "%p %m %U:%G\n"], { cwd: home });
  assertEquals(stdout.trim().split("\n").sort(), [
    ". 710 0:0",
    "./base 710 0:0",
    "./base/committed 600 0:0",
    "./base/diff 755 0:0",
    "./base/link 644 0:0",
    "./l 700 0:0",
    "./middle 710 0:0",
    "./middle/committed 600 0:0",
    "./middle/diff 755 0:0",
    "./middle/link 644 0:0",
    "./middle/lower 644 0:0",
    "./middle/work 700 0:0",
    "./top 710 0:0",
    "./top/diff 755 0:0",
    "./top/link 644 0:0",
    "./top/lower 644 0:0",
    "./top/work 700 0:0",
  ]);
  const { path } = await driver.get("top");
  assertEquals(path, `${home}/top/merged`);
  const { stdout: options } = await runOk("findmnt", ["-no", "OPTIONS", path]);
  assertMatch(options, /lowerdir\+?=\S+upperdir=\S+,workdir=\S+/);
  await driver.put("top");
  assert(!(await namesIn(`${home}/top`)).includes("merged"));
});

testNeeding(NEEDS, "overlay2 opens, mounts and exports a store as dockerd writes it", async () => {
  await using directory = await TempDir.make();
  const home = await directory.mkdir("root/overlay2");
  const script = `
    mkdir -p l aaa/diff/etc bbb/diff bbb/work
    echo hosts >aaa/diff/etc/hosts; echo new >bbb/diff/new; mknod bbb/diff/etc c 0 0
    printf AAAAAAAAAAAAAAAAAAAAAAAAAA >aaa/link; printf BBBBBBBBBBBBBBBBBBBBBBBBBB >bbb/link
    printf l/AAAAAAAAAAAAAAAAAAAAAAAAAA >bbb/lower; touch aaa/committed
    ln -s ../aaa/diff l/AAAAAAAAAAAAAAAAAAAAAAAAAA; ln -s ../bbb/diff l/BBBBBBBBBBBBBBBBBBBBBBBBBB`;
  await runOk("bash", ["-ec", script], { cwd: home });
  await using driver = await open(directory);
  assertEquals((await Array.fromAsync(driver.layers())).map(({ id, parent }) => [id, parent]), [["aaa", undefined], [
    "bbb",
    "aaa",
  ]]);
  assertEquals(await driver.changes("bbb"), [{ path: "/etc", kind: "delete" }, { path: "/new", kind: "add" }]);
  await using layer = await driver.get("bbb");
  assertEquals(await namesIn(layer.path), ["new"]);
});

testNeeding(NEEDS, "overlay2 hands the root's mode, owner and time on to children", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await driver.applyDiff(
    "base",
    streamOf(tarOf([{ path: "./", type: "5", mode: 0o700, uid: 7, gid: 8, mtime: 5000 }])),
  );
  await driver.create("child", { parent: "base" });
  await using child = await driver.get("child");
  const { mode, uid, gid, mtime } = await Deno.stat(child.path);
  assertEquals([mode! & 0o7777, uid, gid, mtime!.getTime()], [0o700, 7, 8, 5_000_000]);
});

testNeeding(NEEDS, "overlay2 stacks 128 layers, mounts them, and refuses the next at create", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("l0");
  for (let i = 1; i <= 128; i++) await driver.create(`l${i}`, { parent: `l${i - 1}` });
  {
    await using top = await driver.get("l128");
    assert(isMountPoint(top.path));
  }
  const error = await assertFails(driver.create("l129", { parent: "l128" }), "max_depth_exceeded");
  assertMatch(error.message, /129 layers, and the limit is 128/);
  assert(!await driver.exists("l129"));
  // By mount(2) their names do not fit the kernel's page, and the kernel would not say so.
  await using classic = await open(directory, { mountApi: "classic" });
  assertMatch((await assertFails(classic.get("l128"), "mount_failed")).message, /mount\(2\) reads 4095/);
});

const DAMAGES: readonly [name: string, script: string, action: (driver: GraphDriver) => Promise<unknown>][] = [
  ["an empty link", ": >base/link", (driver) => driver.create("new", { parent: "base" })],
  ["a missing link", "rm base/link", (driver) => driver.create("new", { parent: "base" })],
  ["a link that is a path", "printf ../../etc >base/link", (driver) => driver.create("new", { parent: "base" })],
  ["an empty lower", ": >child/lower", (driver) => driver.get("child")],
  ["a lower that is a path", "printf ../../etc >child/lower", (driver) => driver.get("child")],
  ["a missing short name", "rm l/*", (driver) => driver.getMetadata("child")],
  ["a short name that leads out", "ln -sfn ../../../etc l/$(cat base/link)", (driver) => driver.getMetadata("child")],
  ["an apply that was interrupted", "mkdir child/.lamina-applying", (driver) => driver.get("child")],
];

for (const [name, script, action] of DAMAGES) {
  testNeeding(NEEDS, `overlay2 with ${name} is store_damaged, and lists its layers`, async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory);
    await driver.create("base");
    await driver.create("child", { parent: "base" });
    await runOk("bash", ["-ec", script], { cwd: driver.home });
    await assertFails(action(driver), "store_damaged");
    assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base", "child"]);
  });
}

testNeeding(NEEDS, "overlay2 removes a layer with an empty link, and no other layer's name", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("other");
  await driver.create("damaged");
  await Deno.writeTextFile(`${driver.home}/damaged/link`, "");
  await driver.remove("damaged");
  assert(!await driver.exists("damaged"));
  assertEquals((await namesIn(`${driver.home}/l`)).length, 2);
});

testNeeding(NEEDS, "overlay2 fills a layer again after an apply that was interrupted", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await Deno.mkdir(`${driver.home}/base/.lamina-applying/half`, { recursive: true });
  await driver.applyDiff("base", streamOf(tarOf([{ path: "whole", data: "x" }])));
  assertEquals(await driver.changes("base"), [{ path: "/whole", kind: "add" }]);
});

testNeeding(NEEDS, "overlay2 has exact modes whatever the umask", async () => {
  await using directory = await TempDir.make();
  const before = Deno.umask(0o077);
  try {
    await using driver = await open(directory);
    await driver.create("base");
    await driver.create("child", { parent: "base" });
    const mode = async (path: string): Promise<number> => (await Deno.stat(`${driver.home}/${path}`)).mode! & 0o7777;
    const modes = ["", "l", "base", "base/diff", "base/link", "child/lower", "child/work"].map(mode);
    assertEquals(await Promise.all(modes), [0o710, 0o700, 0o710, 0o755, 0o644, 0o644, 0o700]);
    await driver.applyDiff(
      "child",
      streamOf(tarOf([{ path: "f", mode: 0o666 }, { path: "d/", type: "5", mode: 0o777 }])),
    );
    assertEquals([await mode("child/diff/f"), await mode("child/diff/d")], [0o666, 0o777]);
  } finally {
    Deno.umask(before);
  }
});

testNeeding(NEEDS, "overlay2 takes the options of all Docker versions, and no others", async () => {
  await using directory = await TempDir.make();
  for (
    const option of [
      "overlay2.override_kernel_check=1",
      "OVERLAY2.Override_Kernel_Check = false",
      "overlay2.size=0",
      "overlay2.size=10G",
    ]
  ) {
    await using _driver = await open(directory, { options: [option] });
  }
  await assertFails(open(directory, { options: ["overlay2.unknown=1"] }), "invalid_argument");
  await assertFails(open(directory, { options: ["overlay2.override_kernel_check=perhaps"] }), "invalid_argument");
  await assertFails(open(directory, { options: ["no-equals-sign"] }), "invalid_argument");
  await assertFails(open(directory, { options: ["overlay2.size=10q"] }), "invalid_argument");
});

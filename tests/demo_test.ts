// SPDX-License-Identifier: Apache-2.0

/**
 * The demo as a user runs it, and what it stands on: the comparison of trees, and a real program in a mounted layer.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { linkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compareTrees } from "../bench/_compare_trees.ts";
import { lutimesat } from "../ffi/owner.ts";
import { AT_FDCWD } from "../ffi/file.ts";
import { lsetxattr } from "../ffi/xattr.ts";
import { openDriver } from "../mod.ts";
import { mountPointsBelow } from "./_helpers/mount_points.ts";
import { needsOrdinaryUser, OrdinaryUser } from "./_helpers/ordinary_user.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "./_helpers/requires.ts";
import { run, runOk, type RunResult } from "./_helpers/run.ts";
import { TempDir } from "./_helpers/temp_dir.ts";
import "./_helpers/warm_libc.ts";

const DEMO = fileURLToPath(new URL("../bench/demo.ts", import.meta.url));
const DEMO_ARGS = ["run", "--no-lock", "--allow-all", DEMO];
const NEEDS = [needsRoot, needsOverlay, needsProgram("tar")];
const NEEDS_BUSYBOX = [...NEEDS, needsProgram("busybox")];

/** A root file system with busybox in it, and enough files for the demo to change. */
async function makeRootfs(directory: TempDir): Promise<string> {
  const tree = directory.join("rootfs");
  await Deno.mkdir(`${tree}/bin`, { recursive: true });
  const busybox = (await runOk("sh", ["-c", "command -v busybox"])).stdout.trim();
  await Deno.copyFile(busybox, `${tree}/bin/busybox`);
  for (const applet of ["sh", "cat", "id"]) await Deno.symlink("busybox", `${tree}/bin/${applet}`);
  await Deno.copyFile(busybox, `${tree}/bin/su`);
  await Deno.chmod(`${tree}/bin/su`, 0o4755);
  await Deno.mkdir(`${tree}/etc/init.d`, { recursive: true });
  for (let i = 0; i < 20; i++) await Deno.writeTextFile(`${tree}/etc/file-${i}`, `file ${i}\n`);
  for (let i = 0; i < 3; i++) await Deno.writeTextFile(`${tree}/etc/init.d/S${i}`, "#!/bin/sh\n");
  await Deno.link(`${tree}/etc/file-18`, `${tree}/etc/link to 18`);
  const tar = directory.join("rootfs.tar");
  await runOk("tar", ["--format=pax", "--numeric-owner", "-C", tree, "-cf", tar, "."]);
  return tar;
}

/** The demo works below `directory/tmp`, which must be empty again at its end. */
async function runDemo(directory: TempDir, rootfs: string): Promise<{ code: number; stdout: string; stderr: string }> {
  return await run(Deno.execPath(), [...DEMO_ARGS, rootfs], { env: { TMPDIR: await directory.mkdir("tmp") } });
}

async function assertNothingLeft(directory: TempDir): Promise<void> {
  assertEquals(mountPointsBelow(directory.path), []);
  assertEquals(await Array.fromAsync(Deno.readDir(directory.join("tmp"))), []);
}

testNeeding(NEEDS_BUSYBOX, "demo proves that the trees are identical, and leaves nothing behind", async () => {
  await using directory = await TempDir.make();
  const { code, stdout, stderr } = await runDemo(directory, await makeRootfs(directory));
  assertEquals(code, 0, stdout + stderr);
  assertMatch(stdout, /^The trees are identical: \d+ entries and [\d.]+ \wB compared\.$/m);
  assertMatch(stdout, /^Nothing is mounted, and \S+ is gone\.$/m);
  assertEquals(stderr, "");
  await assertNothingLeft(directory);
});

for (const [program, suffix] of [["gzip", "gz"], ["zstd", "zst"]] as const) {
  const needs = [...NEEDS_BUSYBOX, needsProgram(program)];
  testNeeding(needs, `demo takes a root file system compressed by ${program}`, async () => {
    await using directory = await TempDir.make();
    const rootfs = await makeRootfs(directory);
    await runOk(program, ["-k", "-q", rootfs]);
    const { code, stdout, stderr } = await runDemo(directory, `${rootfs}.${suffix}`);
    await assertNothingLeft(directory);
    assertEquals(code, 0, stdout + stderr);
    assertStringIncludes(stdout, "The trees are identical");
  });
}

testNeeding(NEEDS, "demo tells in one line that a file is no archive, and leaves nothing behind", async () => {
  await using directory = await TempDir.make();
  await Deno.writeTextFile(directory.join("not.tar"), "no archive\n".repeat(1000));
  const { code, stderr } = await runDemo(directory, directory.join("not.tar"));
  assertEquals(code, 1, stderr);
  assertMatch(stderr, /^demo: error: [^\n]+\n(demo: hint: [^\n]+\n)?$/);
  await assertNothingLeft(directory);
});

const NEEDS_USER = [...NEEDS_BUSYBOX, needsOrdinaryUser, needsProgram("newuidmap")];

/** As `runDemo`, by an ordinary user. */
async function runDemoAsUser(directory: TempDir, hasSubordinateIds: boolean): Promise<RunResult> {
  const user = await OrdinaryUser.make(directory, { hasSubordinateIds });
  const tmp = await directory.mkdir("tmp");
  await Deno.chmod(tmp, 0o777);
  const rootfs = await makeRootfs(directory);
  const demo = `deno run --no-lock --allow-all ${user.commands}/sources/bench/demo.ts ${rootfs}`;
  return await user.sh(demo, { TMPDIR: tmp });
}

testNeeding(NEEDS_USER, "demo works as an ordinary user with subordinate ids", async () => {
  await using directory = await TempDir.make();
  const { code, stdout, stderr } = await runDemoAsUser(directory, true);
  assertEquals([code, stderr], [0, ""], stdout);
  assertStringIncludes(stdout, "The trees are identical");
  await assertNothingLeft(directory);
});

testNeeding(NEEDS_USER, "demo tells an ordinary user without subordinate ids what to do", async () => {
  await using directory = await TempDir.make();
  const { code, stderr } = await runDemoAsUser(directory, false);
  assertEquals(code, 8, stderr);
  assertMatch(stderr, /^demo: error: [^\n]*\/etc\/subuid[^\n]*sudo [^\n]+\n$/m);
  await assertNothingLeft(directory);
});

/** Large enough that the demo is still at work when the signal arrives. */
async function makeLargeRootfs(directory: TempDir): Promise<string> {
  const tree = directory.join("large");
  const content = crypto.getRandomValues(new Uint8Array(40_000));
  for (let i = 0; i < 4000; i++) {
    if (i % 100 === 0) await Deno.mkdir(`${tree}/directory-${i / 100}`, { recursive: true });
    await Deno.writeFile(`${tree}/directory-${Math.floor(i / 100)}/file-${i}`, content);
  }
  const tar = directory.join("large.tar");
  await runOk("tar", ["-C", tree, "-cf", tar, "."]);
  return tar;
}

/** Sends `signal` to the demo once it has printed `after`. */
async function interruptDemo(
  rootfs: string,
  tmp: string,
  after: string,
  signal: Deno.Signal,
): Promise<{ code: number; stdout: string }> {
  const env = { TMPDIR: tmp };
  await using demo = new Deno.Command(Deno.execPath(), {
    args: [...DEMO_ARGS, rootfs],
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let stdout = "";
  let isSent = false;
  for await (const text of demo.stdout.pipeThrough(new TextDecoderStream())) {
    stdout += text;
    if (isSent || !stdout.includes(after)) continue;
    demo.kill(signal);
    isSent = true;
  }
  assert(isSent, `the demo never printed "${after}":\n${stdout}`);
  return { code: (await demo.status).code, stdout };
}

testNeeding(NEEDS, "demo interrupted at any point ends with 130, nothing mounted, nothing left", async (context) => {
  await using directory = await TempDir.make();
  const rootfs = await makeLargeRootfs(directory);
  const tmp = await directory.mkdir("tmp");
  const moments: [during: string, after: string, signal: Deno.Signal][] = [
    ["while the base is applied", "lamina on ", "SIGINT"],
    ["while the base is exported", " 1. ", "SIGINT"],
    ["while a layer is mounted", "mount it", "SIGINT"],
    ["while two layers are compared", "mount both", "SIGINT"],
    ["by SIGTERM", "mount both", "SIGTERM"],
  ];
  for (const [during, after, signal] of moments) {
    await context.step(during, async () => {
      const { code, stdout } = await interruptDemo(rootfs, tmp, after, signal);
      assertEquals(code, 130, stdout);
      assertMatch(stdout, /^Nothing is mounted, and \S+ is gone\.$/m);
      await assertNothingLeft(directory);
    });
  }
});

testNeeding(
  NEEDS_BUSYBOX,
  "busybox runs in a chroot into a mounted layer, and its changes are the layer's",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await openDriver({ root: directory.join("store"), runRoot: directory.join("run") });
    await driver.create("base");
    using rootfs = await Deno.open(await makeRootfs(directory));
    await driver.applyDiff("base", rootfs.readable);
    await driver.createReadWrite("container", { parent: "base" });
    await using container = await driver.get("container");
    const script = "cat /etc/file-3; echo changed > /etc/file-3; rm /etc/file-4; mkdir /new; exit 7";
    const { code, stdout, stderr } = await run("chroot", [container.path, "/bin/busybox", "sh", "-c", script]);
    assertEquals([code, stdout, stderr], [7, "file 3\n", ""]);
    assertEquals(await driver.changes("container"), [
      { path: "/etc", kind: "modify" },
      { path: "/etc/file-3", kind: "modify" },
      { path: "/etc/file-4", kind: "delete" },
      { path: "/new", kind: "add" },
    ]);
  },
);

/** Two equal trees, of which one is then changed. */
async function makeTwin(directory: string): Promise<void> {
  await Deno.mkdir(`${directory}/sub`, { recursive: true });
  for (const name of ["content", "size", "mode", "owner", "time", "xattr", "kind", "gone", "one", "two"]) {
    await Deno.writeTextFile(`${directory}/sub/${name}`, "same\n");
  }
  linkSync(`${directory}/sub/one`, `${directory}/sub/three`);
  await Deno.symlink("here", `${directory}/sub/target`);
  for await (const { name } of Deno.readDir(`${directory}/sub`)) touch(`${directory}/sub/${name}`, 5);
  touch(`${directory}/sub`, 5);
  touch(directory, 5);
}

function touch(path: string, nanoseconds: number): void {
  lutimesat(AT_FDCWD, path, 1_000_000, nanoseconds);
}

const TWIN_CHANGES: readonly [what: string, path: string, change: (sub: string) => void][] = [
  ["content", "/sub/content", (sub): void => Deno.writeTextFileSync(`${sub}/content`, "sane\n")],
  ["size", "/sub/size", (sub): void => Deno.writeTextFileSync(`${sub}/size`, "longer than that\n")],
  ["mode", "/sub/mode", (sub): void => Deno.chmodSync(`${sub}/mode`, 0o4755)],
  ["owner", "/sub/owner", (sub): void => Deno.chownSync(`${sub}/owner`, 1, 0)],
  ["time", "/sub/time", (sub): void => touch(`${sub}/time`, 6)],
  ["xattr user.x", "/sub/xattr", (sub): void => lsetxattr(`${sub}/xattr`, "user.x", new Uint8Array([0, 1]))],
  ["presence", "/sub/gone", (sub): void => Deno.removeSync(`${sub}/gone`)],
  ["presence", "/sub/added", (sub): void => Deno.writeTextFileSync(`${sub}/added`, "")],
  ["type", "/sub/kind", (sub): void => {
    Deno.removeSync(`${sub}/kind`);
    Deno.mkdirSync(`${sub}/kind`);
  }],
  ["target", "/sub/target", (sub): void => {
    Deno.removeSync(`${sub}/target`);
    Deno.symlinkSync("there", `${sub}/target`);
  }],
  ["hard link to", "/sub/three", (sub): void => {
    Deno.removeSync(`${sub}/three`);
    linkSync(`${sub}/two`, `${sub}/three`);
  }],
];

testNeeding([needsRoot], "compareTrees() finds nothing in equal trees", async () => {
  await using directory = await TempDir.make();
  const [left, right] = [directory.join("left"), directory.join("right")];
  for (const twin of [left, right]) await makeTwin(twin);
  const { entries, bytes, differences } = await compareTrees(left, right);
  assertEquals(differences, []);
  assertEquals([entries, bytes], [14, 55]);
});

for (const [what, path, change] of TWIN_CHANGES) {
  testNeeding([needsRoot], `compareTrees() finds another ${what} of ${path}`, async () => {
    await using directory = await TempDir.make();
    const [left, right] = [directory.join("left"), directory.join("right")];
    for (const twin of [left, right]) await makeTwin(twin);
    change(`${right}/sub`);
    const { differences } = await compareTrees(left, right);
    assert(differences.some((found) => found.what === what && found.path === path), JSON.stringify(differences));
  });
}

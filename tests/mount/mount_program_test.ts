// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { IdMaps } from "../../lib/id_map.ts";
import { StorageError } from "../../lib/errors.ts";
import {
  mountByProgram,
  mountProgramData,
  programMountState,
  requireMountProgram,
  unmountProgram,
} from "../../lib/mount/mount_program.ts";
import type { OverlayMount } from "../../lib/mount/overlay_mount.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { isMountPoint, mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsFuseOverlayfs, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const PROGRAM = "/usr/bin/fuse-overlayfs";
const NEEDS = [needsRoot, needsFuseOverlayfs];
const MODULE = new URL("../../lib/mount/mount_program.ts", import.meta.url).href;

/** Lower, upper, work and target below `at`, with a file of user 1000 in the lower one. */
async function makeLayers(directory: TempDir, at = "x"): Promise<{ overlay: OverlayMount; target: string }> {
  for (const name of ["lower", "upper", "work", "merged"]) {
    await Deno.mkdir(directory.join(at, name), { recursive: true });
  }
  await Deno.writeTextFile(directory.join(at, "lower/file"), "from below");
  if (Deno.uid() === 0) await Deno.chown(directory.join(at, "lower/file"), 1000, 2000);
  const upper = { upperDir: directory.join(at, "upper"), workDir: directory.join(at, "work") };
  return {
    overlay: { lowerDirs: [directory.join(at, "lower")], upper, options: [] },
    target: directory.join(at, "merged"),
  };
}

/** A program in place of fuse-overlayfs; $3 is where it is to mount. */
async function makeProgram(directory: TempDir, ...lines: string[]): Promise<string> {
  const program = directory.join("program");
  await Deno.writeTextFile(program, ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o755 });
  return program;
}

/** Processes that were told to mount below `directory`. */
async function programsOf(directory: TempDir): Promise<number[]> {
  const pids: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const words = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (words.startsWith(PROGRAM) || words.startsWith("fuse-overlayfs")) {
      if (words.includes(directory.path)) pids.push(Number(name));
    }
  }
  return pids;
}

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`never came true: ${what}`);
}

const map = (containerId: number, hostId: number, size: number) => ({ containerId, hostId, size });
const bothKinds = (...maps: ReturnType<typeof map>[]): IdMaps => ({ uidMaps: maps, gidMaps: maps });

Deno.test("mountProgramData() escapes what divides options, and puts the user's options last", () => {
  const upper = { upperDir: "/u1,2\\3", workDir: "/w" };
  assertEquals(
    mountProgramData({ lowerDirs: ["/a b", "/c,d", "/e\\f", "/g'\"ü"], upper, options: ["noacl", "context=a,b"] }),
    String.raw`lowerdir=/a b:/c\,d:/e\\f:/g'"ü,upperdir=/u1\,2\\3,workdir=/w,noacl,context=a\,b`,
  );
  assertEquals(mountProgramData({ lowerDirs: ["/a", "/b"], upper: undefined, options: [] }), "lowerdir=/a:/b,ro");
  assertEquals(mountProgramData({ lowerDirs: ["/a"], upper: undefined, options: ["ro"] }), "lowerdir=/a,ro");
});

Deno.test("mountProgramData() maps ids as container, host, size, and squashes them where there is but one", () => {
  const dataWith = (idMaps: IdMaps) =>
    mountProgramData({ lowerDirs: ["/a"], upper: undefined, options: ["ro"], idMaps });
  assertEquals(
    dataWith(bothKinds(map(0, 1000, 1), map(1, 100_000, 65_536))),
    "lowerdir=/a,ro,uidmapping=0:1000:1:1:100000:65536,gidmapping=0:1000:1:1:100000:65536",
  );
  assertEquals(
    dataWith({ uidMaps: [map(0, 1000, 1)], gidMaps: [map(0, 5, 2)] }),
    "lowerdir=/a,ro,squash_to_uid=1000,gidmapping=0:5:2",
  );
  assertEquals(dataWith(bothKinds()), "lowerdir=/a,ro");
});

for (const at of ["lowerDirs", "upperDir", "workDir"]) {
  Deno.test(`mountProgramData() refuses a colon in ${at}, which the program would take for the end of a path`, () => {
    const path = (name: string) => name === at ? "/a:b" : "/c";
    const upper = { upperDir: path("upperDir"), workDir: path("workDir") };
    const error = assertThrows(
      () => mountProgramData({ lowerDirs: ["/d", path("lowerDirs")], upper, options: [] }),
      StorageError,
    );
    assertEquals(error.code, "not_supported");
    assertStringIncludes(error.message, '"/a:b"');
  });
}

Deno.test("requireMountProgram() takes an executable file, and says what is wrong with anything else", async () => {
  await using directory = await TempDir.make();
  requireMountProgram("/bin/sh");
  await Deno.writeTextFile(directory.join("text"), "", { mode: 0o644 });
  const wrong: [program: string, says: string][] = [
    ["fuse-overlayfs", "not absolute"],
    ["", "not absolute"],
    [directory.path, "not a file"],
    [directory.join("text"), "not executable"],
    [directory.join("missing"), "not there"],
    [directory.join("text/below"), "not there"],
  ];
  for (const [program, says] of wrong) {
    const error = assertThrows(() => requireMountProgram(program), StorageError);
    assertEquals(error.code, "invalid_argument");
    assertStringIncludes(error.message, says);
    assertStringIncludes(error.message, `"${program}"`);
  }
});

for (
  const name of ["plain", "a,b", "a\\b", "a\\054b", "a b", "ü€😀", "quote'\"", "a\nb", "lowerdir=x,y", "-o", "%s$(x)"]
) {
  testNeeding(NEEDS, `mountByProgram() takes the path ${JSON.stringify(name)}`, async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory, name);
    await mountByProgram(PROGRAM, overlay, target);
    assertEquals(programMountState(target), "mounted");
    assertEquals(await Deno.readTextFile(`${target}/file`), "from below");
    await Deno.writeTextFile(`${target}/file`, "changed");
    await unmountProgram(target);
    assert(!isMountPoint(target));
    assertEquals(programMountState(target), "none");
    assertEquals(await Deno.readTextFile(directory.join(name, "upper/file")), "changed");
    assertEquals(await Deno.readTextFile(directory.join(name, "lower/file")), "from below");
  });
}

testNeeding(NEEDS, "mountByProgram() without an upper directory is read-only, and so it is by ro", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  for (const readOnly of [{ ...overlay, upper: undefined }, { ...overlay, options: ["ro"] }]) {
    await mountByProgram(PROGRAM, readOnly, target);
    assertEquals(await Deno.readTextFile(`${target}/file`), "from below");
    const error = assertThrows(() => Deno.writeTextFileSync(`${target}/new`, ""), Error);
    assertStringIncludes(error.message, "os error 30");
    await unmountProgram(target);
  }
});

testNeeding(NEEDS, "mountByProgram() shows 300 layers in their order", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  const lowerDirs: string[] = [];
  for (let i = 0; i < 300; i++) {
    const lower = await directory.mkdir(`layer-${"x".repeat(60)}-${i}`);
    await Deno.writeTextFile(`${lower}/top`, `${i}`);
    await Deno.writeTextFile(`${lower}/file-${i}`, "");
    lowerDirs.push(lower);
  }
  await mountByProgram(PROGRAM, { ...overlay, lowerDirs }, target);
  assertEquals(await Deno.readTextFile(`${target}/top`), "0");
  assertEquals((await namesIn(target)).length, 301);
  await unmountProgram(target);
});

testNeeding(NEEDS, "mountByProgram() maps owners: what is 1000 on disk is seen as host id 101000", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  await mountByProgram(PROGRAM, { ...overlay, idMaps: bothKinds(map(0, 100_000, 65_536)) }, target);
  const seen = await Deno.stat(`${target}/file`);
  assertEquals([seen.uid, seen.gid], [101_000, 102_000]);
  await Deno.chown(`${target}/file`, 100_003, 100_004);
  await unmountProgram(target);
  const stored = await Deno.stat(`${overlay.upper!.upperDir}/file`);
  assertEquals([stored.uid, stored.gid], [3, 4]);
});

testNeeding(NEEDS, "mountByProgram() gives every file to the one id that is mapped, or to root if asked", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  const idMaps = { uidMaps: [map(0, 7, 1)], gidMaps: [map(0, 8, 1)] };
  await mountByProgram(PROGRAM, { ...overlay, idMaps }, target);
  const squashed = await Deno.stat(`${target}/file`);
  assertEquals([squashed.uid, squashed.gid], [7, 8]);
  await unmountProgram(target);
  await mountByProgram(PROGRAM, { ...overlay, options: ["squash_to_root"] }, target);
  const rooted = await Deno.stat(`${target}/file`);
  assertEquals([rooted.uid, rooted.gid], [0, 0]);
  await unmountProgram(target);
});

testNeeding(NEEDS, "mountByProgram() returns what the program does not know", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  assertStringIncludes(await mountByProgram(PROGRAM, { ...overlay, options: ["no_such=1"] }, target), "no_such=1");
  await unmountProgram(target);
});

testNeeding(NEEDS, "mountByProgram() fails with the program's own words, and leaves no mount", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  const missing = { ...overlay, lowerDirs: [directory.join("missing")] };
  const error = await assertFails(mountByProgram(PROGRAM, missing, target), "mount_failed");
  assertStringIncludes(error.message, `${PROGRAM} ended with 1`);
  assertStringIncludes(error.message, "No such file or directory");
  assertStringIncludes(error.message, target);
  assertEquals(mountPointsBelow(directory.path), []);
  await mountByProgram(PROGRAM, overlay, target);
  await unmountProgram(target);
});

Deno.test("mountByProgram() tells how a program failed that says nothing", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  const fails: [line: string, says: string][] = [
    ["exit 3", "ended with 3: it said nothing"],
    ["kill -9 $$", "was ended by SIGKILL"],
    ["echo no luck >&2; exit 0", "ended without an error, but nothing is mounted: no luck"],
  ];
  for (const [line, says] of fails) {
    const program = await makeProgram(directory, line);
    const error = await assertFails(mountByProgram(program, overlay, target), "mount_failed");
    assertStringIncludes(error.message, says);
  }
});

Deno.test("mountByProgram() says that a program cannot be run", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  for (const program of [directory.join("missing"), directory.path]) {
    const error = await assertFails(mountByProgram(program, overlay, target), "mount_failed");
    assertStringIncludes(error.message, `${program} cannot be run`);
    assert(error.cause instanceof Error);
  }
});

Deno.test("mountByProgram() keeps the end of a long complaint", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  const program = await makeProgram(directory, "seq 1 100000 >&2; echo the reason >&2; exit 1");
  const { message } = await assertFails(mountByProgram(program, overlay, target), "mount_failed");
  assertStringIncludes(message, "the reason");
  assert(message.length < 6000, `${message.length} characters`);
});

Deno.test("mountByProgram() does not wait for a part of the program that keeps standard error open", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  const pidFile = directory.join("pid");
  const program = await makeProgram(directory, "echo first >&2", `sleep 60 & echo $! > ${pidFile}`, "exit 1");
  const start = performance.now();
  const error = await assertFails(mountByProgram(program, overlay, target), "mount_failed");
  Deno.kill(Number(await Deno.readTextFile(pidFile)), "SIGKILL");
  assertStringIncludes(error.message, "ended with 1: first");
  assert(performance.now() - start < 10_000);
});

testNeeding(NEEDS, "mountByProgram() waits for a mount that comes after the program's end", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  const program = await makeProgram(directory, `(sleep 0.3; exec ${PROGRAM} "$@" 2>/dev/null) &`);
  await mountByProgram(program, overlay, target);
  assertEquals(await Deno.readTextFile(`${target}/file`), "from below");
  await unmountProgram(target);
});

testNeeding(NEEDS, "mountByProgram() takes down what a program mounted that failed afterwards", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  const program = await makeProgram(directory, `${PROGRAM} "$@" 2>/dev/null`, "exit 9");
  const error = await assertFails(mountByProgram(program, overlay, target), "mount_failed");
  assertStringIncludes(error.message, "ended with 9");
  assertEquals(mountPointsBelow(directory.path), []);
  await until(async () => (await programsOf(directory)).length === 0, "the program ends");
});

testNeeding(NEEDS, "a mount whose program has died is told from one that works, and can be taken down", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  await mountByProgram(PROGRAM, overlay, target);
  const [pid] = await programsOf(directory);
  Deno.kill(pid!, "SIGKILL");
  await until(() => programMountState(target) === "dead", "the mount is dead");
  assert(isMountPoint(target));
  await unmountProgram(target);
  assertEquals(programMountState(target), "none");
  assert(!isMountPoint(target));
  await mountByProgram(PROGRAM, overlay, target);
  assertEquals(await Deno.readTextFile(`${target}/file`), "from below");
  await unmountProgram(target);
});

testNeeding(NEEDS, "unmountProgram() ends the program, and lets those keep files who have them open", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  await mountByProgram(PROGRAM, overlay, target);
  {
    using file = await Deno.open(`${target}/file`, { read: true, write: true });
    await file.write(new TextEncoder().encode("FROM"));
    await unmountProgram(target);
    assert(!isMountPoint(target));
    assertEquals(await Deno.readTextFile(`${overlay.upper!.upperDir}/file`), "FROM below");
    assertEquals(await file.read(new Uint8Array(6)), 6);
    assertEquals((await programsOf(directory)).length, 1);
  }
  await until(async () => (await programsOf(directory)).length === 0, "the program ends");
});

testNeeding(NEEDS, "unmountProgram() does without fusermount", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  await mountByProgram(PROGRAM, overlay, target);
  await Deno.writeTextFile(`${target}/new`, "written");
  const script = `import { unmountProgram } from ${
    JSON.stringify(new URL("../../lib/mount/mount_program.ts", import.meta.url).href)
  };
    await unmountProgram(${JSON.stringify(target)});`;
  await runOk(Deno.execPath(), ["eval", script], { env: { PATH: directory.path } });
  assert(!isMountPoint(target));
  assertEquals(await Deno.readTextFile(`${overlay.upper!.upperDir}/new`), "written");
});

Deno.test("unmountProgram() takes a directory that is no mount, and one that is not there", async () => {
  await using directory = await TempDir.make();
  await unmountProgram(directory.path);
  await unmountProgram(directory.join("missing"));
});

testNeeding([...NEEDS, needsProgram("strace")], "unmountProgram() writes back before it lets go lazily", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  await mountByProgram(PROGRAM, overlay, target);
  const script = `import { unmountProgram } from ${
    JSON.stringify(new URL("../../lib/mount/mount_program.ts", import.meta.url).href)
  };
    await unmountProgram(${JSON.stringify(target)});`;
  const trace = directory.join("trace");
  const command = [Deno.execPath(), "eval", script];
  await runOk("strace", ["-f", "-o", trace, "-e", "trace=syncfs,umount2", "-E", `PATH=${directory.path}`, ...command]);
  const calls = (await Deno.readTextFile(trace)).match(/syncfs\([^)]*\)|umount2\([^)]*\)/g) ?? [];
  assertEquals(calls.map((call) => call.replace(/\(.*/, "")), ["syncfs", "umount2"]);
});

testNeeding(
  [needsRoot, needsProgram("unshare")],
  "mountByProgram() tells whose fault it is that /dev/fuse cannot be had",
  async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory);
    const program = await makeProgram(directory, "exit 1");
    const script = `import { mountByProgram } from ${JSON.stringify(MODULE)};
    await mountByProgram(${JSON.stringify(program)}, ${JSON.stringify(overlay)}, ${JSON.stringify(target)})
      .catch((error) => console.log(error.hint));`;
    const inPlaceOfDev = [
      "unshare",
      "--mount",
      "sh",
      "-c",
      'mount -t tmpfs none /dev && mknod /dev/null c 1 3 && exec "$@"',
      "sh",
    ];
    const { stdout } = await runOk(inPlaceOfDev[0]!, [...inPlaceOfDev.slice(1), Deno.execPath(), "eval", script]);
    assertStringIncludes(stdout, "there is no /dev/fuse");
  },
);

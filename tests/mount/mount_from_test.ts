// SPDX-License-Identifier: Apache-2.0

/** Mounts from another directory, made by a process that is started there: for each kind of program that may need one. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { isErrno } from "../../ffi/errno.ts";
import { isStorageError, StorageError } from "../../lib/errors.ts";
import { commonDirectory, mountFrom } from "../../lib/mount/mount_from.ts";
import type { OverlayMount } from "../../lib/mount/overlay.ts";
import { unmountLazily } from "../../lib/mount/unmount.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { makeDenoDir, PackageServer } from "../_helpers/package_server.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];
/** With absolute paths of over 40 bytes and 26 characters of a link, too many for a page; with relative ones, not. */
const DEPTH = 110;

/** Makes `depth` layers and mounts the uppermost; prints how many of their files are seen, or the error. */
const PROGRAM = `
import { openDriver, StorageError } from "BASE/mod.ts";

const [home, runRoot, mountApi, depth] = Deno.args;
try {
  await using driver = await openDriver({ home, runRoot, mountApi, work: "in-place" });
  await driver.create("l0");
  for (let i = 1; i <= Number(depth); i++) await driver.create("l" + i, { parent: "l" + (i - 1) });
  for (let i = 0; i <= Number(depth); i++) Deno.writeTextFileSync(home + "/l" + i + "/diff/of-" + i, "");
  await using layer = await driver.get("l" + depth);
  console.log(JSON.stringify({ seen: Array.from(Deno.readDirSync(layer.path)).length }));
} catch (error) {
  if (!(error instanceof StorageError)) throw error;
  console.log(JSON.stringify({ code: error.code, message: error.message, hint: error.hint }));
}
`;

interface Outcome {
  seen?: number;
  code?: string;
  message?: string;
  hint?: string;
}

async function writeProgram(directory: TempDir, base: string): Promise<string> {
  const main = directory.join("main.ts");
  await Deno.writeTextFile(main, PROGRAM.replace("BASE", base));
  return main;
}

function programArgs(directory: TempDir, mountApi: string, depth: number): string[] {
  return [directory.join("home".padEnd(20, "x")), directory.join("run"), mountApi, String(depth)];
}

const CHECKOUT = new URL("../..", import.meta.url).href.replace(/\/$/, "");

Deno.test("commonDirectory() is the deepest one that holds all paths", () => {
  const rows: readonly [string[], string][] = [
    [["/a/b/c"], "/a/b"],
    [["/a/b/c", "/a/b/d/e"], "/a/b"],
    [["/a/bc/x", "/a/b/x"], "/a"],
    [["/a", "/b"], "/"],
    [["/a/b", "/a/b"], "/a"],
    [["/a/b/c/d", "/a/b"], "/a"],
    [["/home/l/X", "/home/id/diff", "/home/id/work"], "/home"],
  ];
  for (const [paths, expected] of rows) assertEquals(commonDirectory(paths), expected, paths.join(" "));
});

testNeeding(NEEDS, "mountFrom() gives back the error number of the other process's mount(2)", async () => {
  await using directory = await TempDir.make();
  const overlay: OverlayMount = {
    lowerDirs: [directory.join("a"), directory.join("b")],
    upper: undefined,
    options: [],
  };
  const error = assertThrows(() => mountFrom(overlay, directory.path));
  assert(isErrno(error, "ENOENT"), String(error));
  assertStringIncludes(error.message, "lowerdir=a:b");
});

testNeeding(NEEDS, "mountFrom() counts the bytes of the relative paths", async () => {
  await using directory = await TempDir.make();
  const target = await directory.mkdir("merged");
  const lowerDirs = Array.from({ length: 500 }, (_, i) => directory.join(`lower${i}`));
  for (const lowerDir of lowerDirs) await Deno.mkdir(lowerDir);
  const few = { lowerDirs: lowerDirs.slice(0, 400), upper: undefined, options: [] };
  assert(few.lowerDirs.join(":").length > 8192);
  mountFrom(few, target);
  unmountLazily(target);
  const error = assertThrows(() => mountFrom({ ...few, lowerDirs }, target), StorageError);
  assert(isStorageError(error, "mount_failed"));
  assertStringIncludes(error.message, "500 lower layers");
});

testNeeding(NEEDS, "mountFrom() in a directory that is gone says so", async () => {
  await using directory = await TempDir.make();
  const lowerDirs = [directory.join("gone/a"), directory.join("gone/b")];
  const error = assertThrows(
    () => mountFrom({ lowerDirs, upper: undefined, options: [] }, directory.path),
    StorageError,
  );
  assertEquals(error.code, "mount_failed");
  assertStringIncludes(error.message, directory.join("gone"));
});

testNeeding(NEEDS, "a program that imports lamina from a file mounts from the home", async () => {
  await using directory = await TempDir.make();
  const main = await writeProgram(directory, CHECKOUT);
  const args = ["run", "--no-lock", "--no-check", "--allow-all", main, ...programArgs(directory, "from", DEPTH)];
  const { stdout } = await runOk(Deno.execPath(), args);
  assertEquals(JSON.parse(stdout) as Outcome, { seen: DEPTH + 1 });
  assertEquals(mountPointsBelow(directory.path), []);
});

testNeeding(NEEDS, "a program that imports lamina from a URL mounts from the home", async () => {
  await using directory = await TempDir.make();
  await using server = await PackageServer.start();
  const main = await writeProgram(directory, server.url);
  const args = ["run", "--no-lock", "--no-check", "--allow-all", main, ...programArgs(directory, "from", 3)];
  const { stdout } = await runOk(Deno.execPath(), args, { env: { DENO_DIR: await makeDenoDir(directory) } });
  assertEquals(JSON.parse(stdout) as Outcome, { seen: 4 });
  assertEquals(server.refused, []);
});

testNeeding(NEEDS, "a program needs no permission to mount from the home but to run Deno", async () => {
  await using directory = await TempDir.make();
  const main = await writeProgram(directory, CHECKOUT);
  const runWith = async (...allowed: string[]): Promise<Outcome> => {
    const least = ["run", "--no-lock", "--no-check", "--no-prompt", "--allow-ffi", "--allow-read", "--allow-write"];
    const args = [...least, ...allowed, main, ...programArgs(directory, "from", 2)];
    const { stdout } = await runOk(Deno.execPath(), args);
    await Deno.remove(programArgs(directory, "from", 2)[0]!, { recursive: true });
    return JSON.parse(stdout) as Outcome;
  };
  assertEquals(await runWith(`--allow-run=${Deno.execPath()}`), { seen: 3 });
  const { code, hint } = await runWith();
  assertEquals([code, hint], ["mount_failed", "allow it: --allow-run"]);
});

/** Runs the program on a kernel that seems to be too old for fsopen(2); its outcome, whether it tried that, and the programs that it started. */
async function runOnOldKernel(
  directory: TempDir,
  depth: number,
): Promise<{ outcome: Outcome; triedNew: boolean; started: number }> {
  const main = await writeProgram(directory, CHECKOUT);
  const log = directory.join("strace");
  const strace = ["-f", "-qq", "-e", "trace=execve,fsopen", "-e", "inject=fsopen:error=ENOSYS", "-o", log];
  const deno = [Deno.execPath(), "run", "--no-lock", "--no-check", "--allow-all"];
  const { stdout } = await runOk("strace", [...strace, ...deno, main, ...programArgs(directory, "auto", depth)]);
  const calls = (await Deno.readTextFile(log)).split("\n");
  return {
    outcome: JSON.parse(stdout) as Outcome,
    triedNew: calls.some((call) => call.includes("fsopen")),
    started: calls.filter((call) => call.includes("execve(")).length - 1,
  };
}

testNeeding(
  [...NEEDS, needsProgram("strace")],
  "without fsopen(2) a mount that fits a page starts no process, a bigger one starts one",
  async () => {
    await using few = await TempDir.make();
    assertEquals(await runOnOldKernel(few, 5), { outcome: { seen: 6 }, triedNew: false, started: 0 });
    await using many = await TempDir.make();
    assertEquals(await runOnOldKernel(many, DEPTH), { outcome: { seen: DEPTH + 1 }, triedNew: true, started: 1 });
  },
);

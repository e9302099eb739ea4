// SPDX-License-Identifier: Apache-2.0

/** What is on the disk when a call returns: in which order content is waited for, named, and the names are waited for. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { DRIVER_NAMES, type SyncPolicy } from "../../mod.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runBytes, runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay, needsProgram("strace"), needsProgram("tar")];
const WRITER = fileURLToPath(new URL("./_waiting_writer.ts", import.meta.url));

/** The calls that wait for the disk or give a name, as `fsync`, `syncfs` and `rename`, in their order. */
async function callsOf(driver: string, sync: SyncPolicy): Promise<string[]> {
  await using directory = await TempDir.make();
  await Deno.mkdir(directory.join("tree"));
  await Deno.writeTextFile(directory.join("tree/file"), "content");
  const archive = (await runBytes("tar", ["-C", directory.join("tree"), "-c", "."])).stdout;
  const log = directory.join("calls");
  const strace = ["-f", "-y", "--seccomp-bpf", "-o", log, "-e", "trace=fsync,syncfs,fdatasync,renameat,renameat2"];
  const writer = [Deno.execPath(), "run", "--no-lock", "--allow-all", WRITER];
  const store = [directory.join("root"), directory.join("run"), driver, sync];
  const { code, stderr } = await runBytes("strace", [...strace, ...writer, ...store], { input: archive });
  assertEquals(code, 0, stderr);
  const lines = (await Deno.readTextFile(log)).split("\n");
  // With -y each descriptor has its path: what Deno itself keeps elsewhere is none of ours.
  return lines.filter((line) => line.includes(directory.path) && !line.includes("resumed>"))
    .map((line) => / (\w+)\(/.exec(line)?.[1]?.replace(/^rename.*/, "rename"))
    .filter((name) => name !== undefined);
}

for (const driver of DRIVER_NAMES) {
  testNeeding(NEEDS, `${driver} waits for nothing with sync: none`, async () => {
    const calls = await callsOf(driver, "none");
    assertEquals(calls.filter((name) => name !== "rename"), []);
    assert(calls.length > 0);
  });

  testNeeding(NEEDS, `${driver} waits for files of its own, and not for content, with sync: metadata`, async () => {
    const calls = await callsOf(driver, "metadata");
    assert(calls.includes("fsync"));
    assert(!calls.includes("syncfs"));
    // The last of them comes before the name that makes it count.
    assert(calls.lastIndexOf("fsync") < calls.lastIndexOf("rename"));
  });

  testNeeding(
    NEEDS,
    `${driver} has content on the disk before its name, and the name before it returns, with sync: full`,
    async () => {
      const calls = await callsOf(driver, "full");
      const story = calls.join(" ");
      // Two layers made, one filled, one removed.
      assertEquals(calls.filter((name) => name === "syncfs").length, 3, story);
      for (let at = calls.indexOf("syncfs"); at !== -1; at = calls.indexOf("syncfs", at + 1)) {
        assert(/^syncfs (fsync )*(rename )+fsync/.test(calls.slice(at).join(" ")), story);
      }
      assertEquals(calls.slice(-2), ["rename", "fsync"], story);
    },
  );
}

testNeeding(NEEDS, "lamina --sync takes the three policies and no other", async () => {
  await using directory = await TempDir.make();
  const cli = fileURLToPath(new URL("../../cli.ts", import.meta.url));
  const lamina = [Deno.execPath(), "run", "--no-lock", "--allow-all", cli, "--root", directory.join("root")];
  const store = [...lamina, "--run-root", directory.join("run")];
  for (const sync of ["none", "metadata", "full"]) {
    await runOk(store[0]!, [...store.slice(1), "--sync", sync, "create", `layer-${sync}`]);
  }
  const wrong = await runBytes(store[0]!, [...store.slice(1), "--sync", "always", "create", "layer"]);
  assertEquals(wrong.code, 2);
  assert(/--sync.*none, metadata/s.test(wrong.stderr), wrong.stderr);
});

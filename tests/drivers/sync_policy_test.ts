// SPDX-License-Identifier: Apache-2.0

/** What is on the disk when a call returns: in which order content is waited for, named, and the names are waited for. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { dirname, resolve } from "node:path/posix";
import { fileURLToPath } from "node:url";
import { DRIVER_NAMES, openDriver, type SyncPolicy } from "../../mod.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runBytes, runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { fillStore } from "./_damaged_store.ts";

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

/** A call that changes a name, or waits for those of a directory, and the directories. */
interface NameCall {
  isWait: boolean;
  directories: string[];
}

/** Reads what strace wrote: with -y each descriptor has its path. Threads interrupt each other's lines. */
function nameCallsIn(log: string, home: string): NameCall[] {
  return log.split("\n").filter((line) => / = 0$|<unfinished \.\.\.>$/.test(line)).map((line) => {
    const isWait = line.includes("fsync(");
    const paths = isWait
      ? [...line.matchAll(/<([^>]*)>/g)].map(([, path]) => path!)
      : [...line.matchAll(/<([^>]*)>, "([^"]*)"/g)].map(([, at, path]) => dirname(resolve(at!, path!)));
    return { isWait, directories: paths.filter((path) => `${path}/`.startsWith(`${home}/`)) };
  });
}

testNeeding(
  NEEDS,
  "check --repair has the names that it gives back on the disk before it ends, with --sync full",
  async () => {
    await using directory = await TempDir.make();
    const store = { root: directory.join("root"), runRoot: directory.join("run"), driver: "overlay2" } as const;
    let home;
    {
      await using driver = await openDriver({ ...store, work: "in-place" });
      home = driver.home;
      await fillStore(driver);
    }
    await runOk("bash", ["-ec", "rm -r l top/work mid/link; : >other/lower; mkdir stray; mv base/link 1"], {
      cwd: home,
    });
    const log = directory.join("calls");
    const calls = "trace=fsync,symlinkat,mkdirat,renameat,renameat2,unlinkat,rmdir,mkdir,rename,symlink";
    const cli = fileURLToPath(new URL("../../cli.ts", import.meta.url));
    const lamina = [Deno.execPath(), "run", "--no-lock", "--allow-all", cli, "--root", store.root];
    const check = [...lamina, "--run-root", store.runRoot, "--sync", "full", "check", "--repair"];
    await runBytes("strace", ["-f", "-y", "--seccomp-bpf", "-o", log, "-e", calls, ...check]);
    const all = nameCallsIn(await Deno.readTextFile(log), home);
    const changed = new Set(all.filter(({ isWait }) => !isWait).flatMap(({ directories }) => directories));
    for (const name of ["", "/l", "/lost+found", "/mid", "/top"]) assert(changed.has(`${home}${name}`), name);
    for (const path of changed) {
      const last = all.findLast(({ directories }) => directories.includes(path));
      assert(last?.isWait, `${path} was changed, and not waited for`);
    }
  },
);

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

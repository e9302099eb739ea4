// SPDX-License-Identifier: Apache-2.0

/**
 * Short commands start fast because they load little. What a command loads is read from V8's own log of what it compiled,
 * always with `deno run`: the compiled program has the same modules.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

/** The files of the project that `lamina ARGS` loads, in their order. */
async function modulesOf(directory: TempDir, args: readonly string[], expectedCode = 0): Promise<string[]> {
  const log = directory.join("v8.log");
  const flags = `--v8-flags=--log-function-events,--no-logfile-per-isolate,--logfile=${log}`;
  const { code, stderr } = await run(
    Deno.execPath(),
    ["run", "--no-lock", "--allow-all", flags, `${PROJECT}cli.ts`, ...args],
  );
  assertEquals(code, expectedCode, stderr);
  const text = await Deno.readTextFile(log);
  await Deno.remove(log);
  const files = [...text.matchAll(/^script-details,\d+,file:\/\/([^,]+)/gm)].map(([, path]) => path!);
  assert(files.includes(`${PROJECT}cli.ts`), "V8's log does not tell what was loaded");
  return files.map((path) => path.replace(PROJECT, ""));
}

/** Those of `files` that lie in one of `places`. */
function among(files: readonly string[], places: readonly string[]): string[] {
  return files.filter((file) => places.some((place) => file.startsWith(place)));
}

Deno.test("help and version load neither drivers nor what calls the C library", async () => {
  await using directory = await TempDir.make();
  for (const args of [["--help"], ["mount", "--help"], ["version"]]) {
    const files = await modulesOf(directory, args);
    assertEquals(
      among(files, ["lib/archive/", "lib/agent/", "lib/drivers/", "lib/mount/", "lib/util/", "lib/log.ts"]),
      [],
    );
    assertEquals(among(files, ["ffi/"]).filter((file) => file !== "ffi/errno.ts"), []);
  }
});

testNeeding(
  [needsRoot, needsOverlay],
  "commands that read no archive load nothing that does, and no agent",
  async () => {
    await using directory = await TempDir.make();
    const store = ["--root", directory.join("root"), "--run-root", directory.join("run")];
    const modules = (args: readonly string[], code?: number): Promise<string[]> =>
      modulesOf(directory, [...store, ...args], code);

    await modules(["create", "base"]);
    await modules(["create", "web", "--parent", "base", "--read-write"]);
    for (
      const args of [["exists", "web"], ["mount", "web"], ["mounts"], ["unmount", "web"], ["ls"]]
    ) {
      assertEquals(among(await modules(args), ["lib/archive/", "lib/agent/"]), [], args.join(" "));
    }
    assertEquals(among(await modules(["exists", "nobody"], 1), ["lib/archive/", "lib/agent/"]), []);

    // Else the log would tell nothing.
    assert(among(await modules(["changes", "web"]), ["lib/archive/changes.ts"]).length === 1);
  },
);

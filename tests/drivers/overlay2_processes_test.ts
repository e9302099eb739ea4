// SPDX-License-Identifier: Apache-2.0

/** Several processes that begin to use one home at the same moment. */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { LayerLayout } from "../../lib/drivers/_layer_layout.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const CREATOR = fileURLToPath(new URL("./_creator.ts", import.meta.url));
const PROCESSES = 8;

/** Starts a process per list of ids; all begin together. Returns what each says it made. */
async function createAtOnce(directory: TempDir, lists: readonly string[][]): Promise<string[][]> {
  const places = [directory.join("root"), directory.join("run")];
  const children = lists.map((ids) =>
    new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-lock", "--allow-all", CREATOR, ...places, ...ids],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn()
  );
  const outputs = children.map((child) => child.stdout.pipeThrough(new TextDecoderStream()).getReader());
  const errors = children.map((child) => new Response(child.stderr).text());
  for (const output of outputs) await output.read();
  await Promise.all(children.map((child) => child.stdin.close()));
  const made = await Promise.all(outputs.map(async (output) => {
    let text = "";
    for (let piece = await output.read(); !piece.done; piece = await output.read()) text += piece.value;
    return text.trim().split(" ").slice(1);
  }));
  assertEquals(await Promise.all(errors), lists.map(() => ""));
  assertEquals((await Promise.all(children.map((child) => child.status))).map(({ code }) => code), lists.map(() => 0));
  return made;
}

testNeeding([needsRoot, needsOverlay], "overlay2 in a new home takes layers of many processes at once", async () => {
  for (let round = 0; round < 3; round++) {
    await using directory = await TempDir.make();
    const lists = Array.from({ length: PROCESSES }, (_, i) => [`a${i}`, `b${i}`]);
    assertEquals(await createAtOnce(directory, lists), lists);
    await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run") });
    assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), lists.flat().sort());
    assertEquals((await namesIn(driver.home)).filter((name) => name.startsWith(".")), []);
  }
});

testNeeding([needsRoot, needsOverlay], "overlay2 gives each id to one of many processes", async () => {
  await using directory = await TempDir.make();
  const ids = Array.from({ length: 20 }, (_, i) => `layer-${String(i).padStart(2, "0")}`);
  const made = await createAtOnce(directory, Array.from({ length: PROCESSES }, () => ids));
  assertEquals(made.flat().sort(), ids);
  await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run") });
  assertEquals((await namesIn(`${driver.home}/l`)).length, ids.length);
});

testNeeding(
  [needsRoot, needsOverlay],
  "an id that another process takes, and gives back, meanwhile is layer_exists",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await openDriver({
      root: directory.join("root"),
      runRoot: directory.join("run"),
      driver: "overlay2",
      work: "in-place",
    });
    await driver.create("parent");
    await driver.create("taken");
    const { exists } = LayerLayout.prototype;
    try {
      // It is not there before, nor when it is looked for what was in the way.
      LayerLayout.prototype.exists = function (id: string): boolean {
        return id !== "taken" && exists.call(this, id);
      };
      await assertFails(driver.create("taken", { parent: "parent" }), "layer_exists");
    } finally {
      LayerLayout.prototype.exists = exists;
    }
    assertEquals((await namesIn(driver.home)).filter((name) => name.startsWith(".")), []);
    await driver.remove("taken");
    await driver.remove("parent");
  },
);

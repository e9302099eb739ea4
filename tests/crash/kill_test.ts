// SPDX-License-Identifier: Apache-2.0

/** kill -9 in the middle of everything that writes: the store must open, and every layer be whole or told to be not. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { isStorageError } from "../../lib/errors.ts";
import { type DriverName, openDriver } from "../../mod.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const WRITER = fileURLToPath(new URL("./_writer.ts", import.meta.url));
const KILLS = 25;
const NEEDS = [needsRoot, needsOverlay];

/** Lets a process create, fill, mount and remove layers, and kills it after a random time. */
async function writeAndDie(directory: TempDir, round: number, name: DriverName): Promise<void> {
  const args = [
    "run",
    "--no-lock",
    "--allow-all",
    WRITER,
    directory.join("root"),
    directory.join("run"),
    String(round),
    name,
  ];
  const writer = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
  const reader = writer.stdout.getReader();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
  writer.kill("SIGKILL");
  await reader.cancel();
  await writer.status;
}

for (const name of ["overlay2", "overlay"] as const) {
  testNeeding(
    NEEDS,
    `${name}: after kill -9 the store opens, and each layer is whole or told to be damaged`,
    async () => {
      await using directory = await TempDir.make();
      for (let round = 0; round < KILLS; round++) {
        await writeAndDie(directory, round, name);
        await using driver = await openDriver({
          root: directory.join("root"),
          runRoot: directory.join("run"),
          driver: name,
          work: "in-place",
        });
        for await (const { id, parent } of driver.layers()) {
          try {
            await using layer = await driver.get(id, { readOnly: true });
            const names = await namesIn(layer.path);
            // All or nothing: an applied diff is there with each of its files, or not at all.
            const own = (await driver.changes(id)).filter(({ kind }) => kind === "add").length;
            assert(own === 0 || own === 200, `${id} on ${parent} has ${own} of 200 files: ${names.length} names`);
          } catch (error) {
            if (!isStorageError(error, "store_damaged")) throw error;
          }
        }
        await driver.cleanup();
        // Killed before it made anything.
        if (!existsSync(driver.home)) continue;
        const strange = (await namesIn(driver.home)).filter((name) => !/^(l|layer-\d+-\d+|\.lamina-.*)$/.test(name));
        assertEquals(strange, []);
      }
    },
  );
}

// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { namesIn } from "../_helpers/names_in.ts";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { runCases } from "./run_cases.ts";
import { BrokenPromise, World } from "./world.ts";

const CORPUS = new URL("./corpus/", import.meta.url);
const NEEDS = [needsRoot, ...["bash", "tar", "bsdtar", "python3", "setfattr", "setfacl", "zstd"].map(needsProgram)];
const SEEDS = [1, 20, 300];
const CASES_A_SEED = 250;

for (const name of await namesIn(CORPUS.pathname)) {
  testNeeding([needsRoot], `unpack() keeps its promises for ${name}`, async () => {
    await using directory = await TempDir.make();
    await new World(directory.path).check(await Deno.readFile(new URL(name, CORPUS)));
  });
}

for (const seed of SEEDS) {
  testNeeding(NEEDS, `unpack() keeps its promises for the first archives of seed ${seed}`, async () => {
    const finding = await runCases({ seed, first: 0, cases: CASES_A_SEED });
    assertEquals(
      finding,
      undefined,
      `${finding?.reason}\nagain: deno task fuzz --seed ${seed} --case ${finding?.index}`,
    );
  });
}

testNeeding([needsRoot], "World.check() notices a change outside the root", async () => {
  await using directory = await TempDir.make();
  const world = new World(directory.path);
  const archive = await Deno.readFile(new URL("opaque-root.tar", CORPUS));
  const error = await checkMeanwhile(world, archive, `${world.outside}/inner/secret`);
  assertEquals(error instanceof BrokenPromise && error.message.includes("outside/inner/secret"), true);
});

/** Writes to `path` in the middle of a check, which begins at once and waits once, before it unpacks. */
function checkMeanwhile(world: World, archive: Uint8Array, path: string): Promise<unknown> {
  const check = world.check(archive).then(() => undefined, (reason: unknown) => reason);
  Deno.writeTextFileSync(path, "changed");
  return check;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Over generated layers, the diff from a layer's own directory and the one from comparing two mounts give the same tree
 * when they are applied, and both ways of listing changes agree with a listing by other programs.
 *
 * @module
 */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { openDriver, type OpenOptions } from "../../lib/drivers/registry.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { Random } from "../fuzz/random.ts";
import { expectedChanges } from "./_expected_changes.ts";
import { changeAtRandom } from "./_random_changes.ts";

const CASES = Number(Deno.env.get("LAMINA_PROPERTY_CASES") ?? 24);
const SEED = Number(Deno.env.get("LAMINA_PROPERTY_SEED") ?? 2);

/** Where layers are kept, and how many cases that gets. */
interface Row {
  name: string;
  options: OpenOptions;
  cases: number;
}

const ROWS: readonly Row[] = [
  { name: "overlay2: native and naive diffs agree", options: { driver: "overlay2" }, cases: CASES },
  {
    name: "overlay2 with redirect_dir and metacopy: diffs are right",
    options: { driver: "overlay2", options: ["overlay2.mountopt=redirect_dir=on,metacopy=on"] },
    cases: Math.ceil(CASES / 3),
  },
  { name: "overlay: diffs are right", options: { driver: "overlay" }, cases: Math.ceil(CASES / 3) },
  {
    name: "containers-overlay: native and naive diffs agree",
    options: { driver: "containers-overlay" },
    cases: Math.ceil(CASES / 3),
  },
];

async function runCase(index: number, options: OpenOptions): Promise<void> {
  const random = Random.ofCase(SEED, index);
  await using directory = await TempDir.make();
  const places = { root: directory.join("root"), runRoot: directory.join("run") };
  await using driver = await openDriver({ ...options, ...places, work: "in-place" });
  await driver.create("base");
  const done: string[] = [];
  {
    await using base = await driver.get("base");
    done.push(...changeAtRandom(base.path, random, 60), "--");
  }
  await driver.createReadWrite("middle", { parent: "base" });
  {
    await using middle = await driver.get("middle");
    done.push(...changeAtRandom(middle.path, random, 20), "--");
  }
  await driver.createReadWrite("job", { parent: "middle" });
  {
    await using job = await driver.get("job");
    done.push(...changeAtRandom(job.path, random, 30));
  }
  try {
    // The twin shows what the middle layer shows, and is nobody's parent.
    await driver.create("twin", { parent: "middle" });
    await using job = await driver.get("job", { readOnly: true });
    const comparisons = [["own", undefined, "middle"], ["twin", "twin", "middle"], ["far", "base", "base"]] as const;
    for (const [name, parent, base] of comparisons) {
      const compared = parent === undefined ? {} : { parent };
      const copy = `copy-${name}`;
      await driver.create(copy, { parent: base });
      await driver.applyDiff(copy, await driver.diff("job", compared));
      await using copied = await driver.get(copy, { readOnly: true });
      await assertSameTree(copied.path, job.path);
      await using older = await driver.get(base, { readOnly: true });
      assertEquals(await driver.changes("job", compared), await expectedChanges(job.path, older.path), `by ${name}`);
    }
    await driver.create("copy");
    await driver.applyDiff("copy", await driver.diff("job", { parent: null }));
    await using copied = await driver.get("copy", { readOnly: true });
    await assertSameTree(copied.path, job.path);
  } catch (error) {
    const { message } = error as Error;
    throw new Error(`case ${index} of LAMINA_PROPERTY_SEED=${SEED}:\n${done.join("\n")}\n${message}`, { cause: error });
  }
}

for (const { name, options, cases } of ROWS) {
  testNeeding([needsRoot, needsOverlay, needsProgram("getfattr")], `${name}, over generated layers`, async () => {
    for (let index = 0; index < cases; index++) await runCase(index, options);
  });
}

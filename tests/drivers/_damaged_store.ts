// SPDX-License-Identifier: Apache-2.0

/**
 * A store that is damaged by a script and then checked: what is found, that looking changes nothing, and what a repair
 * brings back.
 *
 * @module
 */

import type { CheckOptions, Finding, FindingCode, GraphDriver } from "../../lib/drivers/driver.ts";
import { type DriverName, openDriver } from "../../lib/drivers/registry.ts";
import { run, runOk } from "../_helpers/run.ts";
import { snapshot } from "../_helpers/snapshot.ts";
import { assertEquals } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";

/** A way to damage a store, and what comes of it. */
export interface Damage {
  /** What is wrong, as the end of a test's name. */
  name: string;
  /** Run by bash in the home. */
  script: string;
  /** The codes of all findings, sorted, notes included. */
  finds: readonly FindingCode[];
  /** Those of them that a repair leaves; none if left out. */
  leaves?: readonly FindingCode[];
  /** What is in lost+found afterwards. */
  moves?: readonly RegExp[];
  /** Whether `top` shows what it showed before; true if left out. */
  restores?: boolean;
}

/** Opens a store of `driver` in `directory`. */
export async function openIn(directory: TempDir, driver: DriverName): Promise<GraphDriver> {
  return await openDriver({ root: directory.join("root"), runRoot: directory.join("run"), driver, work: "in-place" });
}

/** Layers `base`, `mid` on it and `top` on that, each with a file, and `other`, which has nothing to do with them. */
export async function fillStore(driver: GraphDriver): Promise<void> {
  await apply(driver, "base");
  await apply(driver, "mid", "base");
  await apply(driver, "top", "mid");
  await apply(driver, "other");
}

async function apply(driver: GraphDriver, id: string, parent?: string): Promise<void> {
  await driver.create(id, parent === undefined ? {} : { parent });
  await driver.applyDiff(id, new Blob([tarOf([{ path: `of-${id}`, data: id }, { path: "file", data: id }])]).stream());
}

/** All that `check` finds. */
export async function findingsOf(driver: GraphDriver, options: CheckOptions = {}): Promise<Finding[]> {
  return await Array.fromAsync(driver.check(options));
}

/** The codes of `findings`, sorted. */
export function codesOf(findings: readonly Finding[]): FindingCode[] {
  return findings.map(({ code }) => code).sort();
}

/** What one sees of a layer. */
export async function seen(driver: GraphDriver, id: string): Promise<string[]> {
  await using layer = await driver.get(id);
  return snapshot(layer.path);
}

/** What is in lost+found, with odd bytes in octal. */
async function namesOfLost(home: string): Promise<string[]> {
  const { stdout } = await run("ls", ["-A", "--quoting-style=escape", `${home}/lost+found`]);
  return stdout.split("\n").filter((name) => name !== "");
}

/** Damages a store, and checks it as {@linkcode Damage} says. */
export async function testDamage(driverName: DriverName, damage: Damage): Promise<void> {
  const { script, finds, leaves = [], moves = [], restores = true } = damage;
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, driverName);
  await fillStore(driver);
  const before = await seen(driver, "top");
  assertEquals(await findingsOf(driver), []);
  await runOk("bash", ["-ec", script], { cwd: driver.home });

  const damaged = snapshot(directory.path);
  assertEquals(codesOf(await findingsOf(driver)), [...finds].sort());
  assertEquals(snapshot(directory.path), damaged, "looking changed something");

  const repaired = await findingsOf(driver, { repair: true });
  assertEquals(repaired.filter(({ failure }) => failure !== undefined), []);
  assertEquals(codesOf(repaired.filter((finding) => !finding.repaired)), [...leaves].sort());
  assertEquals(codesOf(await findingsOf(driver)), [...leaves].sort());
  const lost = await namesOfLost(driver.home);
  assertEquals(lost.length, moves.length, lost.join());
  moves.forEach((pattern, i) => assertEquals(pattern.test(lost[i]!), true, `${lost[i]} is not ${pattern}`));
  if (restores) assertEquals(await seen(driver, "top"), before);
}

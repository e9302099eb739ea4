// SPDX-License-Identifier: Apache-2.0

/**
 * Many processes that do as they please with the same layers.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { DRIVER_NAMES, type DriverName, openDriver } from "../../mod.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import type { Budget, Fault, Tally } from "./fault.ts";
import { archiveOf, brokenArchive, readTree } from "./layer_content.ts";

const MEMBER = fileURLToPath(new URL("./_crowd_member.ts", import.meta.url));
const MEMBERS = 16;
const SHORT_OPERATIONS = 2_000;
const LONG_OPERATIONS = 100_000;

/** Filled layers that are there all the time. */
export const GROUND = ["ground-0", "ground-1"];

/** What a member is told. */
export interface CrowdSettings {
  root: string;
  runRoot: string;
  driver: DriverName;
  seed: number;
  /** Which of them it is. */
  number: number;
  /** How many calls it makes. */
  operations: number;
}

/** What a member tells. */
export interface CrowdReport {
  /** Calls that came through. */
  done: number;
  /** Calls that were refused for what others did, by code. */
  refused: Record<string, number>;
  /** What must not be. */
  wrong: string[];
}

/** Starts the members, lets all begin at once, and returns what each of them tells. */
async function runMembers(settings: Omit<CrowdSettings, "number">): Promise<CrowdReport[]> {
  const children = Array.from({ length: MEMBERS }, (_, number) => {
    const own: CrowdSettings = { ...settings, number, seed: settings.seed * MEMBERS + number };
    const args = ["run", "--quiet", "--no-lock", "--allow-all", MEMBER, JSON.stringify(own)];
    return new Deno.Command(Deno.execPath(), { args, stdin: "piped", stdout: "piped", stderr: "piped" }).spawn();
  });
  const errors = children.map((child) => new Response(child.stderr).text());
  const outputs = children.map((child) => child.stdout.pipeThrough(new TextDecoderStream()).getReader());
  for (const output of outputs) await output.read();
  await Promise.all(children.map((child) => child.stdin.close()));
  return await Promise.all(outputs.map(async (output, number): Promise<CrowdReport> => {
    let text = "";
    for (let piece = await output.read(); !piece.done; piece = await output.read()) text += piece.value;
    const { success } = await children[number]!.status;
    const said = await errors[number]!;
    if (!success) return { done: 0, refused: {}, wrong: [`process ${number} failed: ${said}`] };
    return JSON.parse(text) as CrowdReport;
  }));
}

/** What the crowd left that it must not. */
async function inspect({ root, runRoot, driver: name }: Omit<CrowdSettings, "number">): Promise<string[]> {
  const wrong: string[] = [];
  wrong.push(...[...mountPointsBelow(root), ...mountPointsBelow(runRoot)].map((path) => `${path} is still mounted`));
  await using driver = await openDriver({ root, runRoot, driver: name, work: "in-place" });
  for await (const { code, path, problem } of driver.check()) wrong.push(`check: ${code}: ${path} ${problem}`);
  const ids = (await Array.fromAsync(driver.layers())).map(({ id }) => id);
  for (const id of ids) {
    await using mounted = await driver.get(id, { readOnly: true });
    const broken = brokenArchive(readTree(mounted.path));
    if (broken !== undefined) wrong.push(`${id}: ${broken}`);
    wrong.push(...(await namesIn(`${driver.home}/${id}`)).filter(isWork).map((left) => `${id}/${left} is left over`));
  }
  const strange = (await namesIn(driver.home)).filter((other) => other !== "l" && !ids.includes(other));
  wrong.push(...strange.map((other) => `${other} is left over`));
  if (name !== "overlay") {
    const links = await namesIn(`${driver.home}/l`);
    if (links.length !== ids.length) wrong.push(`${links.length} short names for ${ids.length} layers`);
  }
  return wrong;
}

function isWork(name: string): boolean {
  return name.startsWith(".lamina-") && name !== ".lamina-parent" && name !== ".lamina-committed";
}

async function runOnce(
  driver: DriverName,
  seed: number,
  operations: number,
): Promise<{ done: number; lost: string[] }> {
  await using directory = await TempDir.make();
  const settings = {
    root: directory.join("root"),
    runRoot: directory.join("run"),
    driver,
    seed,
    operations: Math.ceil(operations / MEMBERS),
  };
  {
    await using store = await openDriver(settings);
    for (const [key, id] of GROUND.entries()) {
      await store.create(id);
      await store.applyDiff(id, ReadableStream.from([archiveOf(key, undefined)]));
    }
  }
  const reports = await runMembers(settings);
  const wrong = [...reports.flatMap((report) => report.wrong), ...await inspect(settings)];
  const done = reports.reduce((sum, { done, refused }) => sum + done + sumOf(refused), 0);
  return { done, lost: wrong.map((text) => `${driver}: ${text}`) };
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

async function run({ form, seed, onProgress }: Budget): Promise<Tally> {
  const isShort = form === "short";
  const drivers: readonly DriverName[] = isShort ? ["overlay2"] : DRIVER_NAMES;
  const operations = (isShort ? SHORT_OPERATIONS : LONG_OPERATIONS) / drivers.length;
  const lost: string[] = [];
  let tried = 0;
  for (const driver of drivers) {
    const result = await runOnce(driver, seed, operations);
    lost.push(...result.lost);
    tried += result.done;
    onProgress(`${tried} operations`);
  }
  return { tried, lost, note: `${MEMBERS} processes on the same layers; no mount, descriptor or name left` };
}

/** The fault. */
export const CROWD: Fault = {
  name: "crowd",
  promise: "many processes at the same layers: no error but those that others cause, and nothing left over",
  needs: [needsRoot, needsOverlay],
  run,
};

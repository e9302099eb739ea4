// SPDX-License-Identifier: Apache-2.0

/**
 * Puts something else in place of the files and directories of a store, in turn, and calls everything on it: what fails is told
 * by a code, and nothing outside of the store is changed, or mounted. It says what went wrong, a line each. It runs as a
 * process of its own, so that one that waits for ever can be ended.
 *
 *   deno run --allow-all _odd_store.ts DRIVER DIRECTORY
 *
 * @module
 */

import { stdout } from "node:process";
import { type GraphDriver, StorageError } from "../../mod.ts";
import { type DriverName, openDriver } from "../../lib/drivers/registry.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { runOk } from "../_helpers/run.ts";
import { snapshot } from "../_helpers/snapshot.ts";
import { tarOf } from "../archive/_tar_of.ts";

/** Layers, each on the one before. */
const CHAIN = ["base", "mid", "job"] as const;

/** What comes in place of `$1`. `$2` is a directory outside of the store that looks like a layer. */
const IN_PLACE: Readonly<Record<string, string>> = {
  "a directory": 'cp -a "$2" "$1"',
  "a link out": 'ln -s "$2" "$1"',
  "a link to itself": 'ln -s "${1##*/}" "$1"',
  "a pipe": 'mkfifo "$1"',
};

/** Names in the home that need not be there. */
const MORE_NAMES = [
  "job/merged",
  "job/committed",
  "job/.lamina-applying",
  "lost+found",
  ".lamina-remove-ABCDEFGHIJ",
  ".lamina-create-ABCDEFGHIJ",
];

const [driverName, top] = Deno.args as [DriverName, string];

function open(directory: string): Promise<GraphDriver> {
  const silent = (): void => {};
  const logger = { debug: silent, info: silent, warn: silent };
  const places = { root: `${directory}/root`, runRoot: `${directory}/run` };
  return openDriver({ ...places, driver: driverName, work: "in-place", logger });
}

async function fill(directory: string): Promise<string> {
  await using driver = await open(directory);
  const files = (id: string) =>
    new Blob([tarOf([{ path: `of-${id}`, data: id }, { path: "directory/file", data: id }])]).stream();
  for (const [i, id] of CHAIN.entries()) {
    await driver.create(id, i === 0 ? {} : { parent: CHAIN[i - 1]! });
    await driver.applyDiff(id, files(id), { manifest: true });
  }
  return driver.home.slice(directory.length + 1);
}

/** The names in the home `directory` that tell something: none of the layers' content, and of each kind but one. */
async function namesIn(directory: string): Promise<string[]> {
  const found = await runOk("find", [".", "-mindepth", "1", "-not", "-path", "*/*/*/*", "-printf", "%P\n"], {
    cwd: directory,
  });
  const names = found.stdout.trim().split("\n").filter((name) => !/^(base|job\/)/.test(name));
  const oneShortName = names.find((name) => name.startsWith("l/"));
  return [...names.filter((name) => !name.startsWith("l/")), ...oneShortName === undefined ? [] : [oneShortName]];
}

/** Calls everything; returns what failed as nothing should. */
async function callAll(driver: GraphDriver, directory: string): Promise<string[]> {
  const failures: string[] = [];
  const call = async (name: string, action: () => unknown): Promise<void> => {
    try {
      await action();
    } catch (error) {
      const code = error instanceof StorageError ? error.code : "no StorageError";
      if (error instanceof StorageError && code !== "system_error") return;
      failures.push(`${name}: ${code}: ${error instanceof Error ? error.message : error}`);
    }
  };
  await call("layers", () => Array.fromAsync(driver.layers()));
  await call("usage", () => driver.usage());
  await call("status", () => driver.status());
  for (const id of ["mid", "job"]) {
    await call(`getMetadata ${id}`, () => driver.getMetadata(id));
    await call(`get ${id}`, async () => {
      await using layer = await driver.get(id);
      await Deno.writeTextFile(`${layer.path}/new`, "").catch(() => {});
    });
    await call(`get ${id} to read`, async () => {
      await using _layer = await driver.get(id, { readOnly: true });
    });
    await call(`mountAt ${id}`, async () => {
      await using _view = await driver.mountAt(`${directory}/view`, [id]);
    });
    for (const options of [{}, { parent: "base" }] as { parent?: string }[]) {
      await call(
        `diff ${id} (${options.parent})`,
        async () => await (await driver.diff(id, options)).pipeTo(new WritableStream()),
      );
      await call(`changes ${id} (${options.parent})`, () => driver.changes(id, options));
    }
    await call(`diffSize ${id}`, () => driver.diffSize(id));
    await call(`verify ${id}`, () => driver.verify(id));
    await call(`diffGetter ${id}`, async () => {
      await using _getter = await driver.diffGetter(id);
    });
    await call(`create on ${id}`, () => driver.createReadWrite(`on-${id}`, { parent: id }));
    await call(`createFromTemplate ${id}`, () => driver.createFromTemplate(`copy-of-${id}`, id));
  }
  await call("check", () => Array.fromAsync(driver.check({ deep: true })));
  await call("check, to repair", () => Array.fromAsync(driver.check({ repair: true })));
  await call("mountAt of two", async () => {
    await using _view = await driver.mountAt(`${directory}/view`, ["job", "base"]);
  });
  for (const id of ["on-job", "copy-of-job", "job", "on-mid", "copy-of-mid", "mid", "base"]) {
    await call(`remove ${id}`, () => driver.remove(id));
    await call(`remove ${id} by force`, () => driver.remove(id, { force: true }));
  }
  await call("cleanup", () => driver.cleanup());
  return failures;
}

const home = await fill(`${top}/whole`);
const names = new Set([...await namesIn(`${top}/whole/${home}`), ...MORE_NAMES]);
for (const name of names) {
  for (const [what, script] of Object.entries(IN_PLACE)) {
    const directory = `${top}/odd`;
    const outside = `${directory}/outside`;
    const make =
      'cp -a "$4" "$3"; mkdir -p "$3/view" "$2/diff" "$2/work" "$2/merged"; echo x >"$2/secret"; rm -rf "$1"';
    await runOk("bash", [
      "-ec",
      `${make}; ${script}`,
      "bash",
      `${directory}/${home}/${name}`,
      outside,
      directory,
      `${top}/whole`,
    ]);
    const before = snapshot(outside);
    const failures = [];
    {
      await using driver = await open(directory);
      failures.push(...await callAll(driver, directory));
    }
    if (snapshot(outside).join() !== before.join()) failures.push("what lies outside is changed");
    for (const place of mountPointsBelow(directory)) {
      failures.push(`still mounted: ${place}`);
      await runOk("umount", ["--lazy", place]);
    }
    for (const failure of failures) stdout.write(`${what} in place of ${name}: ${failure}\n`);
    await Deno.remove(directory, { recursive: true });
  }
}

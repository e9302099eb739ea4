// SPDX-License-Identifier: Apache-2.0

/**
 * kill -9 of `lamina` itself, in the commands that change a store: what a killed command was at is done, or it is as if it
 * had never been, and `check --repair` clears away what it left.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { DRIVER_NAMES, type DriverName, type GraphDriver, openDriver } from "../../mod.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { Random } from "../fuzz/random.ts";
import type { Budget, Fault, Tally } from "./fault.ts";
import { archiveOf, firstDifference, readTree, REMAPPED, treeOf } from "./layer_content.ts";
import type { Layer } from "./layer_model.ts";

const CLI = fileURLToPath(new URL("../../cli.ts", import.meta.url));
const SHORT_KILLS = 7;
const LEAST_KILLS = 50;
const REMAP = `${REMAPPED.containerId}:${REMAPPED.hostId}:${REMAPPED.size}`;

const BASE: Layer = { key: 1, remaps: 0 };
const ON_BASE = { parent: { id: "base", layer: BASE }, remaps: 0 };
const [CHILD, EMPTY, FILLED]: Layer[] = [{ ...ON_BASE, key: 2 }, ON_BASE, { ...ON_BASE, key: 3 }];
const REMAPPED_LAYER: Layer = { ...FILLED!, remaps: 1 };

/** A command that will be killed. */
interface Command {
  words: readonly string[];
  /** What `victim` is before. */
  before: Layer | undefined;
  /** What it may be afterwards; undefined is no layer. */
  after: readonly (Layer | undefined)[];
  /** What somebody did to the store by hand before, in its home. */
  damage?: string;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  create: { words: ["create", "victim", "--parent", "base"], before: undefined, after: [undefined, EMPTY] },
  apply: { words: ["apply", "victim"], before: EMPTY, after: [EMPTY, FILLED] },
  rm: { words: ["rm", "victim"], before: FILLED, after: [FILLED, undefined] },
  remap: {
    words: ["remap", "victim", "--uid-map", REMAP, "--gid-map", REMAP],
    before: FILLED,
    after: [FILLED, REMAPPED_LAYER],
  },
  "check --repair": {
    words: ["check", "--repair"],
    before: FILLED,
    after: [FILLED],
    damage: "rm -rf l; mkdir stray .lamina-remove-LEFT; test ! -e base/link || : >base/link",
  },
};

/** One store in which commands are killed. */
class KilledCommands {
  readonly lost: string[] = [];

  /** @param durations How long each command takes, in milliseconds, by its name; filled in as they are known. */
  constructor(readonly directory: TempDir, readonly name: DriverName, readonly durations: Map<string, number>) {}

  get #place(): { root: string; runRoot: string; driver: DriverName } {
    return {
      root: this.directory.join(this.name),
      runRoot: this.directory.join(`run-${this.name}`),
      driver: this.name,
    };
  }

  #open(): Promise<GraphDriver> {
    return openDriver({ ...this.#place, work: "in-place" });
  }

  /** Layers that no command is to change. */
  async fill(): Promise<void> {
    await using driver = await this.#open();
    await driver.create("base");
    await driver.applyDiff("base", ReadableStream.from([archiveOf(1, undefined)]));
    await driver.create("child", { parent: "base" });
    await driver.applyDiff("child", ReadableStream.from([archiveOf(2, 1)]));
  }

  /** Kills the command at a moment of the time that it usually takes. */
  async killIn(kind: string, random: Random): Promise<void> {
    const usual = this.durations.get(kind) ?? await this.#measure(kind);
    await this.#prepare(COMMANDS[kind]!);
    // In the first part of it the program starts.
    await this.#run(kind, usual * (0.4 + random.below(700) / 1000));
    await this.#look(kind);
  }

  async #measure(kind: string): Promise<number> {
    await this.#prepare(COMMANDS[kind]!);
    const begin = performance.now();
    await this.#run(kind, undefined);
    const duration = performance.now() - begin;
    this.durations.set(kind, duration);
    await this.#look(kind);
    return duration;
  }

  async #prepare({ before, damage }: Command): Promise<void> {
    await using driver = await this.#open();
    await driver.remove("victim");
    if (before !== undefined) await driver.create("victim", { parent: "base" });
    if (before?.key !== undefined) {
      await driver.applyDiff("victim", ReadableStream.from([archiveOf(before.key, 1)]));
    }
    if (damage !== undefined) await new Deno.Command("bash", { args: ["-ec", damage], cwd: driver.home }).output();
  }

  async #run(kind: string, killAfterMs: number | undefined): Promise<void> {
    const { root, runRoot, driver } = this.#place;
    const store = ["--root", root, "--run-root", runRoot, "--driver", driver];
    const args = ["run", "--quiet", "--no-lock", "--allow-all", CLI, ...store, ...COMMANDS[kind]!.words];
    const command = new Deno.Command(Deno.execPath(), { args, stdin: "piped", stdout: "null", stderr: "piped" });
    const child = command.spawn();
    const feeding = feed(child.stdin, kind === "apply" ? archiveOf(3, 1) : new Uint8Array());
    const timer = killAfterMs === undefined ? undefined : setTimeout(() => tryKill(child), killAfterMs);
    const { code, signal, stderr } = await child.output();
    clearTimeout(timer);
    await feeding;
    if (signal !== "SIGKILL" && code !== 0) this.#lose(kind, new TextDecoder().decode(stderr));
  }

  async #look(kind: string): Promise<void> {
    await using driver = await this.#open();
    for (const options of [{ repair: true }, {}]) {
      for await (const { kind: weight, code, path, problem, repaired } of driver.check(options)) {
        if (weight !== "note" && !repaired) this.#lose(kind, `check: ${code}: ${path} ${problem}`);
      }
    }
    await driver.sweep();
    const left = mountPointsBelow(this.directory.path);
    if (left.length > 0) this.#lose(kind, `${left.join(", ")} is still mounted`);
    await this.#expect(driver, kind, "base", [BASE]);
    await this.#expect(driver, kind, "child", [CHILD]);
    await this.#expect(driver, kind, "victim", COMMANDS[kind]!.after);
  }

  async #expect(driver: GraphDriver, kind: string, id: string, layers: readonly (Layer | undefined)[]): Promise<void> {
    if (!await driver.exists(id)) {
      if (!layers.includes(undefined)) this.#lose(kind, `${id}: it is not there`);
      return;
    }
    await using mounted = await driver.get(id, { readOnly: true });
    const tree = readTree(mounted.path);
    const differences = layers.map((layer) =>
      layer === undefined ? "it is there" : firstDifference(treeOf(layer), tree)
    );
    if (!differences.includes(undefined)) this.#lose(kind, `${id}: ${differences.join("; or ")}`);
  }

  #lose(kind: string, text: string): void {
    this.lost.push(`${this.name}, lamina ${kind}: ${text}`);
  }
}

async function feed(stdin: WritableStream<Uint8Array>, bytes: Uint8Array): Promise<void> {
  try {
    await new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeTo(stdin);
  } catch {
    // Who is killed reads no more.
  }
}

function tryKill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    // It ended by itself.
    if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function run({ form, seconds, seed, onProgress }: Budget): Promise<Tally> {
  await using directory = await TempDir.make();
  const random = Random.ofCase(seed, 2);
  const durations = new Map<string, number>();
  const stores = DRIVER_NAMES.map((driver) => new KilledCommands(directory, driver, durations));
  for (const store of stores) await store.fill();
  const pairs = stores.flatMap((store) =>
    Object.keys(COMMANDS)
      .filter((kind) => kind !== "remap" || store.name === "containers-overlay")
      .map((kind) => ({ store, kind }))
  );
  const deadline = performance.now() + 1000 * seconds;
  const lost = (): string[] => stores.flatMap((store) => store.lost);
  let tried = 0;
  const goesOn = (): boolean =>
    form === "short" ? tried < SHORT_KILLS : tried < LEAST_KILLS || performance.now() < deadline;
  for (; goesOn() && lost().length === 0; tried++) {
    const { store, kind } = pairs[(seed + tried) % pairs.length]!;
    await store.killIn(kind, random);
    onProgress(`${tried + 1} commands killed`);
  }
  return { tried, lost: lost(), note: `in ${Object.keys(COMMANDS).join(", ")}` };
}

/** The fault. */
export const KILL_COMMANDS: Fault = {
  name: "kill-commands",
  promise: "kill -9 of lamina at a random moment: its command is done, or undone by check --repair",
  needs: [needsRoot, needsOverlay],
  run,
};

// SPDX-License-Identifier: Apache-2.0

/**
 * One of many processes that do as they please with one store: `_crowd_member.ts SETTINGS`, which is JSON. Prints a line
 * when it is ready, begins when its standard input ends, and prints what came of it.
 */

import { type GraphDriver, isStorageError, type MountedLayer, openDriver, type StorageErrorCode } from "../../mod.ts";
import { Random } from "../fuzz/random.ts";
import { type CrowdReport, type CrowdSettings, GROUND } from "./crowd.ts";
import { archiveOf, brokenArchive, FILES, readTree, REMAPPED } from "./layer_content.ts";

/** What one can get in another's way with. */
const EXPECTED: readonly StorageErrorCode[] = [
  "layer_exists",
  "layer_in_use",
  "layer_not_empty",
  "layer_not_found",
  "parent_not_found",
];
/** Filled by anybody, and nobody's parents: what lies below others must not change. */
const FILLED = Array.from({ length: 5 }, (_, i) => `filled-${i}`);
/** Come and go, have children, and stay empty. */
const PARENTS = Array.from({ length: 5 }, (_, i) => `parent-${i}`);
const SHARED = [...FILLED, ...PARENTS];
const MOST_HELD = 3;
const AWAY = { uidMaps: [REMAPPED], gidMaps: [REMAPPED] };

/** One process's share of the work. */
class Member {
  readonly report: CrowdReport = { done: 0, refused: {}, wrong: [] };
  readonly #random: Random;
  readonly #held: MountedLayer[] = [];
  #own = 0;

  constructor(readonly driver: GraphDriver, readonly settings: CrowdSettings) {
    this.#random = new Random(settings.seed);
  }

  /** Something to a layer that others are at as well. */
  async meddle(): Promise<void> {
    const { driver } = this;
    const random = this.#random;
    const id = random.pick(SHARED);
    const below = random.pick([...PARENTS, ...GROUND]);
    const parent = id === below || random.oneIn(3) ? {} : { parent: below };
    // A template of containers/storage becomes the parent.
    const template = this.settings.driver === "containers-overlay" ? below : random.pick([...SHARED, ...GROUND]);
    const any = random.pick([...SHARED, ...GROUND]);
    const verbs: Record<string, () => Promise<unknown>> = {
      create: () => driver.create(id, parent),
      createReadWrite: () => driver.createReadWrite(id, parent),
      createFromTemplate: () => driver.createFromTemplate(id, template),
      apply: () =>
        driver.applyDiff(random.pick(FILLED), ReadableStream.from([archiveOf(random.below(1e9), undefined)])),
      get: () => this.#get(any),
      put: () => this.#putOne(),
      remove: () => driver.remove(id),
      diff: () => this.#diff(any),
      changes: () => driver.changes(any),
      list: () => Array.fromAsync(driver.layers()),
    };
    const name = random.pick(Object.keys(verbs));
    await this.#attempt(`${name} ${id} ${below} ${template} ${any}`, verbs[name]!);
  }

  /** The life of a layer of its own, on one that others have as well. Nothing of it may be refused. */
  async liveAlone(): Promise<void> {
    const { driver } = this;
    const id = `own-${this.settings.number}-${this.#own++}`;
    const parent = this.#random.pick(GROUND);
    const key = this.#random.below(1e9);
    try {
      await driver.create(id, { parent });
      await driver.applyDiff(id, ReadableStream.from([archiveOf(key, undefined)]));
      if (this.settings.driver === "containers-overlay" && this.#random.oneIn(3)) {
        await driver.updateLayerIdMap(id, undefined, AWAY);
        await driver.updateLayerIdMap(id, AWAY, undefined);
      }
      await this.#see(id, key);
      await driver.remove(id);
      this.report.done++;
    } catch (error) {
      this.report.wrong.push(`life of ${id} on ${parent}: ${describe(error)}`);
    }
  }

  async #see(id: string, key: number): Promise<void> {
    await using mounted = await this.driver.get(id);
    const tree = readTree(mounted.path);
    const broken = brokenArchive(tree);
    if (broken !== undefined) throw new Error(broken);
    if (!tree.has(`own-${key}`)) throw new Error(`it has not got what was applied to it`);
  }

  async #get(id: string): Promise<void> {
    if (this.#held.length >= MOST_HELD) return await this.#putOne();
    const layer = await this.driver.get(id);
    this.#held.push(layer);
    this.#requireMounted(layer);
  }

  /** Whoever else put the layer: what is held must be mounted. */
  async #putOne(): Promise<void> {
    const layer = this.#held.shift();
    if (layer === undefined) return;
    this.#requireMounted(layer);
    await layer[Symbol.asyncDispose]();
  }

  #requireMounted({ id, path }: MountedLayer): void {
    if (!path.endsWith("/merged")) return;
    if (Deno.statSync(path).dev === Deno.statSync(`${path}/..`).dev) {
      this.report.wrong.push(`${id} is not mounted, though it is held`);
    }
  }

  async #diff(id: string): Promise<void> {
    const text = await new Response(await this.driver.diff(id)).text();
    const [, key] = /own-(\d+)\//.exec(text) ?? [];
    if (key === undefined) return;
    const files = new Set(text.match(new RegExp(`own-${key}/file-\\d+`, "g")));
    if (files.size !== FILES) this.report.wrong.push(`a diff of ${id} ended well with ${files.size} of ${FILES} files`);
  }

  /** Does something that others may be in the way of. */
  async #attempt(what: string, call: () => Promise<unknown>): Promise<void> {
    try {
      await call();
      this.report.done++;
    } catch (error) {
      if (isStorageError(error, ...EXPECTED)) {
        this.report.refused[error.code] = (this.report.refused[error.code] ?? 0) + 1;
      } else this.report.wrong.push(`${what}: ${describe(error)}`);
    }
  }

  async putAll(): Promise<void> {
    while (this.#held.length > 0) await this.#putOne();
  }

  get hasWork(): boolean {
    const refused = Object.values(this.report.refused).reduce((sum, count) => sum + count, 0);
    return this.report.done + refused + this.report.wrong.length < this.settings.operations;
  }

  async run(): Promise<void> {
    while (this.hasWork) {
      if (this.#random.oneIn(4)) await this.liveAlone();
      else await this.meddle();
    }
    await this.putAll();
  }
}

function describe(error: unknown): string {
  return isStorageError(error)
    ? `${error.code}: ${error.message}`
    : String(error instanceof Error ? error.stack : error);
}

function openFiles(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

const settings = JSON.parse(Deno.args[0]!) as CrowdSettings;
const encoder = new TextEncoder();
await Deno.stdout.write(encoder.encode("ready\n"));
for await (const _ of Deno.stdin.readable);
const { root, runRoot, driver: name } = settings;
let report: CrowdReport;
let before = 0;
{
  await using driver = await openDriver({ root, runRoot, driver: name });
  const member = new Member(driver, settings);
  // What is opened once and kept (Workers, the watch on the home) is open from here on.
  while (member.report.done < 10 && member.hasWork) await member.meddle();
  await member.putAll();
  before = openFiles();
  await member.run();
  report = member.report;
  // A Worker more may have been begun.
  const more = openFiles() - before;
  if (more > 30) report.wrong.push(`${more} descriptors were opened and not closed`);
}
const bytes = encoder.encode(JSON.stringify(report));
for (let done = 0; done < bytes.length;) done += await Deno.stdout.write(bytes.subarray(done));

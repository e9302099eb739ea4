// SPDX-License-Identifier: Apache-2.0

/**
 * A run of cases within one process. Tells which case it is at, so that who started the process knows it even if the
 * process dies.
 *
 * @module
 */

import { TempDir } from "../_helpers/temp_dir.ts";
import { archiveOfCase } from "./cases.ts";
import { makeSeedArchives } from "./seed_archives.ts";
import { World } from "./world.ts";

/** A case that broke a promise. */
export interface Finding {
  seed: number;
  index: number;
  /** What did not hold. */
  reason: string;
}

/** Which cases run. */
export interface RunSettings {
  seed: number;
  /** The first case. */
  first: number;
  /** Ends behind this many cases. */
  cases: number;
  /** Called before each case. */
  onCase?: (index: number) => void;
}

/** Runs cases up to the first finding, and returns it; undefined if there is none. */
export async function runCases({ seed, first, cases, onCase }: RunSettings): Promise<Finding | undefined> {
  await using directory = await TempDir.make();
  const seeds = await makeSeedArchives(directory);
  const world = new World(await directory.mkdir("world"));
  for (let index = first; index < first + cases; index++) {
    onCase?.(index);
    try {
      await world.check(archiveOfCase(seed, index, seeds, world));
    } catch (error) {
      return { seed, index, reason: error instanceof Error ? error.message : String(error) };
    }
  }
  return undefined;
}

/** The archive of one case, without running it. */
export async function archiveOf(seed: number, index: number): Promise<Uint8Array<ArrayBuffer>> {
  await using directory = await TempDir.make();
  const seeds = await makeSeedArchives(directory);
  return archiveOfCase(seed, index, seeds, { outside: `${directory.path}/world/outside` });
}

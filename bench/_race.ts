// SPDX-License-Identifier: Apache-2.0

/**
 * Runs contestants side by side. Each round runs every one once, in rotating order, turned around in odd rounds; `sync`
 * before each; no sample is dropped.
 *
 * @module
 */

import { runCommand, type Words } from "./_command.ts";
import type { Contestant, Place } from "./_contestants.ts";
import type { Job } from "./_jobs.ts";
import { LoopImage } from "./_loop_image.ts";
import type { Round } from "./_rounds.ts";
import { prepareStore } from "./_prepared_store.ts";

/** Sparse: it takes what is written to it. */
const IMAGE_BYTES = 8e9;

/** A job on a set of data, and who does it. */
export interface Race {
  job: Job;
  contestants: readonly Contestant[];
  /** The layer, compressed if the job is about that. */
  archive: string;
  rounds: number;
  /** A tmpfs. */
  memory: string;
  signal: AbortSignal;
}

/** Seconds of each contestant, round by round. */
export function runRace(race: Race): Promise<Round[]> {
  return race.job.makesFiles ? raceOnFreshImages(race) : raceOnOneImage(race);
}

async function raceOnFreshImages(race: Race): Promise<Round[]> {
  return await runRounds(race, async (contestant) => {
    await using image = await LoopImage.make(race.memory, "sample", IMAGE_BYTES, race.signal);
    const place = placeIn(race, image.path, "");
    await prepare(contestant, place, race.signal);
    return await takeSample(contestant, place, race.signal);
  });
}

async function raceOnOneImage(race: Race): Promise<Round[]> {
  await using image = await LoopImage.make(race.memory, "sample", IMAGE_BYTES, race.signal);
  const { tree } = await prepareStore(image.path, race.archive);
  const place = placeIn(race, image.path, tree);
  if (race.job.delta !== undefined) {
    const archive = race.archive.slice(0, race.archive.lastIndexOf("/") + 1) + race.job.delta;
    place.delta = { archive, tree: (await prepareStore(image.path, archive)).tree };
  }
  for (const contestant of race.contestants) await prepare(contestant, place, race.signal);
  const sample = async (contestant: Contestant): Promise<number> => {
    const seconds = await takeSample(contestant, place, race.signal);
    // Emptying the last one's file would be part of the next one's time.
    if (place.output !== "/dev/null") await Deno.remove(place.output);
    return seconds;
  };
  // What was written last may have pushed the first files out of the page cache: all are read once, uncounted.
  for (const contestant of race.contestants) await sample(contestant);
  return await runRounds(race, sample);
}

function placeIn({ job, archive, memory }: Race, directory: string, tree: string): Place {
  const output = job.keepsOutput === true ? `${memory}/diff.tar` : "/dev/null";
  return { directory, archive, tree, delta: undefined, output, scratch: memory };
}

async function prepare(contestant: Contestant, place: Place, signal: AbortSignal): Promise<void> {
  for (const [program, ...args] of contestant.prepare?.(place) ?? []) await runCommand(program, args, { signal });
}

async function runRounds(race: Race, sample: (contestant: Contestant) => Promise<number>): Promise<Round[]> {
  const rounds: Round[] = [];
  for (let round = 0; round < race.rounds; round++) {
    const seconds: number[] = [];
    for (const index of orderOf(round, race.contestants.length)) {
      race.signal.throwIfAborted();
      seconds[index] = await sample(race.contestants[index]!);
    }
    rounds.push(seconds);
  }
  return rounds;
}

function orderOf(round: number, count: number): number[] {
  const order = Array.from({ length: count }, (_, i) => (i + round) % count);
  return round % 2 === 1 ? order.reverse() : order;
}

async function takeSample(contestant: Contestant, place: Place, signal: AbortSignal): Promise<number> {
  const [program, ...args]: Words = contestant.run(place);
  await runCommand("sync", []);
  const start = performance.now();
  const stdout = await runCommand(program, args, { signal });
  const seconds = (performance.now() - start) / 1000;
  return contestant.clock === "process" ? seconds : ownSeconds(stdout, contestant);
}

const SECONDS_REGEXP = /"seconds":\s*([0-9.eE+-]+)/;

function ownSeconds(stdout: string, { name, operation }: Contestant): number {
  const wanted = operation === undefined ? "" : `"op":"${operation}"`;
  const line = stdout.split("\n").find((line) => line.includes(wanted)) ?? "";
  const seconds = Number(SECONDS_REGEXP.exec(line)?.[1]);
  if (!(seconds > 0)) throw new Error(`${name} printed no seconds: ${stdout}`);
  return seconds;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * System calls per entry, as strace counts them: those of a run on a layer, less those of the same run on an empty one.
 *
 * @module
 */

import { runCommand } from "./_command.ts";
import type { Contestant, Place } from "./_contestants.ts";

/** Calls of one contestant, by name. */
export type CallCounts = ReadonlyMap<string, number>;

/** Counts the calls of one run of `contestant`, its children and threads included. */
export async function countCalls(contestant: Contestant, place: Place, signal: AbortSignal): Promise<CallCounts> {
  for (const [program, ...args] of contestant.prepare?.(place) ?? []) await runCommand(program, args, { signal });
  const log = `${place.scratch}/strace`;
  await runCommand("strace", ["-f", "-c", "-U", "calls,name", "-o", log, ...contestant.run(place)], { signal });
  const counts = parseCounts(await Deno.readTextFile(log));
  await Deno.remove(log);
  return counts;
}

const COUNT_REGEXP = /^\s*(\d+)\s+(\w+)$/gm;

function parseCounts(log: string): CallCounts {
  const counts = [...log.matchAll(COUNT_REGEXP)].map(([, count, name]) => [name!, Number(count)] as const);
  return new Map(counts.filter(([name]) => name !== "total"));
}

/** What `full` has more than `empty`, for each of `entries`. */
export function callsPerEntry(full: CallCounts, empty: CallCounts, entries: number): CallCounts {
  return new Map([...full].map(([name, count]) => [name, (count - (empty.get(name) ?? 0)) / entries]));
}

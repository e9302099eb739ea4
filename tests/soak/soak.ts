// SPDX-License-Identifier: Apache-2.0

/**
 * `deno task soak`: lets everything happen to stores that can, and prints what they lost. It ends with 1 if that is anything.
 *
 *     deno task soak [--minutes M] [--faults kill,power-cut] [--seed N] [--short]
 *
 * The minutes are divided among the faults; one that has a least number of times goes on until it has got them.
 *
 * @module
 */

import "../_helpers/warm_libc.ts";
import { parseArgs } from "node:util";
import { type Budget, type Fault, type Row, tableOf } from "./fault.ts";
import { FAULTS } from "./faults.ts";

const DEFAULT_MINUTES = "30";

function say(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}

async function runOne(fault: Fault, budget: Budget): Promise<Row> {
  const reason = fault.needs.map((need) => need.missing()).find((missing) => missing !== undefined);
  if (reason !== undefined) return { fault, tally: { skipped: reason }, seconds: 0 };
  const begin = performance.now();
  const tally = await fault.run(budget).catch((error: unknown) => {
    const text = error instanceof Error ? error.stack ?? error.message : String(error);
    return { tried: 1, lost: [`the run itself failed: ${text}`], note: "" };
  });
  return { fault, tally, seconds: (performance.now() - begin) / 1000 };
}

async function run(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: DEFAULT_MINUTES },
      faults: { type: "string", default: FAULTS.map(({ name }) => name).join(",") },
      seed: { type: "string" },
      short: { type: "boolean", default: false },
    },
  });
  const names = values.faults.split(",");
  const unknown = names.find((name) => !FAULTS.some((fault) => fault.name === name));
  if (unknown !== undefined) {
    throw new Error(`no fault "${unknown}": there is ${FAULTS.map(({ name }) => name).join(", ")}`);
  }
  const faults = FAULTS.filter(({ name }) => names.includes(name));
  const seed = Number(values.seed ?? crypto.getRandomValues(new Uint16Array(1))[0]);
  const seconds = 60 * Number(values.minutes) / faults.length;
  say(`seed ${seed}\n`);
  const isTerminal = Deno.stdout.isTerminal();
  const rows: Row[] = [];
  for (const fault of faults) {
    const onProgress = (text: string): void => isTerminal ? say(`\r\x1b[K${fault.name}: ${text}`) : undefined;
    const row = await runOne(fault, { form: values.short ? "short" : "long", seconds, seed, onProgress });
    if (isTerminal) say("\r\x1b[K");
    rows.push(row);
    const lost = "lost" in row.tally ? row.tally.lost : [];
    say(
      `${fault.name}: ${lost.length} lost in ${row.seconds.toFixed(0)} s\n${
        lost.map((loss) => `  LOST ${loss}\n`).join("")
      }`,
    );
  }
  say(`\n${tableOf(rows)}\n`);
  return rows.reduce((sum, { tally }) => sum + ("lost" in tally ? tally.lost.length : 0), 0);
}

if (import.meta.main && await run() > 0) Deno.exit(1);

// SPDX-License-Identifier: Apache-2.0

/**
 * `deno task bench:agent`: many clients of one agent, each of which makes, mounts, unmounts and removes layers of its own as
 * fast as it is answered. Tells how long calls take, and what memory the agent has when nobody asks it anything, before
 * and after. Needs root.
 *
 *     --clients N    default 32
 *     --seconds N    default 60
 *     --pause MS     how long each client waits after a call; default 0: the agent always has as many calls as clients
 *
 *     --table FILE   Markdown file that gets the figures; "-" for none (default bench/README.md)
 *
 * Ends with 1 where a call failed or a layer is left. The clients are in one process beside the agent, and share the
 * machine's processors with it. The store lies on an ext4 in memory, just made as Debian's mkfs makes it, so that the figures
 * are not those of this machine's disk; the run root is on a tmpfs, as `/run` is on hosts.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { formatSize } from "../lib/units.ts";
import { connect, type GraphDriver } from "../mod.ts";
import { startAgent } from "./_agent.ts";
import { aroundFigures, replaceFigures } from "./_figures.ts";
import { LoopImage } from "./_loop_image.ts";
import { aboutMachine } from "./_machine.ts";
import { runProgram } from "./_program.ts";
import { EXIT, Refusal, refuseUnfitUsers } from "./_refusal.ts";
import { formatCount, formatSeconds, Report } from "./_report.ts";

const TASK = "bench:agent";
const README = fileURLToPath(new URL("./README.md", import.meta.url));
/** Makes the agent compile what it runs often: after that, memory that grows by more than V8's young generation leaks. */
const WARM_UP_SECONDS = 60;
/** How long nobody asks before memory is read. */
const IDLE_MS = 10_000;
/** Of a sparse file: it takes what is written to it. */
const STORE_BYTES = 4e9;

const OPERATIONS = ["create", "get", "put", "remove"] as const;
type Operation = typeof OPERATIONS[number];

/** What came of all clients' calls. */
interface Tally {
  /** Seconds of each call that did not fail. */
  seconds: Record<Operation, number[]>;
  errors: unknown[];
}

interface Options {
  clients: number;
  seconds: number;
  pauseMs: number;
  table: string;
}

function parseOptions(args: string[]): Options {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ args, options: { clients: text, seconds: text, pause: text, table: text } });
  const read = (name: "clients" | "seconds" | "pause", usual: number, least: number): number => {
    const number = Number(values[name] ?? usual);
    if (Number.isInteger(number) && number >= least) return number;
    throw new Refusal(EXIT.usage, `--${name} ${values[name]} is no number, or too small`);
  };
  return {
    clients: read("clients", 32, 1),
    seconds: read("seconds", 60, 1),
    pauseMs: read("pause", 0, 0),
    table: values.table ?? README,
  };
}

/** One client: its layers come and go until `end`. */
async function useAgent(
  driver: GraphDriver,
  name: string,
  { pauseMs, end, tally }: { pauseMs: number; end: AbortSignal; tally: Tally },
): Promise<void> {
  for (let i = 0; !end.aborted; i++) {
    const id = `${name}-${i}`;
    const calls: Record<Operation, () => Promise<unknown>> = {
      create: () => driver.createReadWrite(id, { parent: "base" }),
      get: () => driver.get(id),
      put: () => driver.put(id),
      remove: () => driver.remove(id),
    };
    for (const operation of OPERATIONS) {
      const start = performance.now();
      try {
        await calls[operation]();
        tally.seconds[operation].push((performance.now() - start) / 1000);
      } catch (error) {
        tally.errors.push(error);
      }
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

async function load(socket: string, { clients, seconds, pauseMs }: Options, signal: AbortSignal): Promise<Tally> {
  const tally: Tally = { seconds: { create: [], get: [], put: [], remove: [] }, errors: [] };
  const end = AbortSignal.any([signal, AbortSignal.timeout(seconds * 1000)]);
  const client = async (_: unknown, i: number): Promise<void> => {
    await using driver = await connect({ socket });
    // Not all at the same moment.
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs * i / clients));
    await useAgent(driver, `client${i}`, { pauseMs, end, tally });
  };
  await Promise.all(Array.from({ length: clients }, client));
  signal.throwIfAborted();
  return tally;
}

/** Bytes of memory that the process has when nobody has asked it anything for a while. */
async function idleMemory(pid: number, signal: AbortSignal): Promise<{ resident: number; own: number }> {
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  signal.throwIfAborted();
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const bytes = (field: string): number => 1024 * Number(new RegExp(`^${field}:\\s*(\\d+) kB$`, "m").exec(status)?.[1]);
  return { resident: bytes("VmRSS"), own: bytes("RssAnon") };
}

/** The figure that `share` of all are not above. */
function quantile(figures: readonly number[], share: number): number {
  return figures.toSorted((a, b) => a - b)[Math.ceil(share * figures.length) - 1] ?? NaN;
}

function reportCalls(line: (text: string) => void, { seconds, errors }: Tally, duration: number): void {
  const all = OPERATIONS.flatMap((operation) => seconds[operation]);
  line(`${formatCount(all.length / duration)} calls/s, ${errors.length} errors`);
  for (
    const [name, figures] of [
      ...OPERATIONS.map((operation) => [operation, seconds[operation]] as const),
      ["all", all] as const,
    ]
  ) {
    const [median, p99, most] = [0.5, 0.99, 1].map((share) => formatSeconds(quantile(figures, share)));
    line(`  ${name.padEnd(8)} median ${median}, p99 ${p99}, most ${most}`);
  }
  for (const error of new Set(errors.map(String))) line(`  ${error}`);
}

async function run(args: string[], signal: AbortSignal): Promise<number> {
  const options = parseOptions(args);
  refuseUnfitUsers(TASK);
  if (options.table !== "-") await aroundFigures(options.table, TASK);
  const report = new Report(signal);
  const lines: string[] = [];
  const line = (text: string): void => {
    report.line(text);
    lines.push(text);
  };
  await using undo = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "lamina-bench-" });
  undo.defer(() => Deno.remove(directory, { recursive: true }));
  const store = undo.use(await LoopImage.make(directory, "store", STORE_BYTES, signal));
  const { pid, socket } = await startAgent({ root: `${store.path}/root`, runRoot: `${directory}/run` }, undo);
  await using driver = await connect({ socket });
  await driver.create("base");

  const memory = async (when: string): Promise<void> => {
    const { resident, own } = await idleMemory(pid, signal);
    line(`idle agent ${when}: ${formatSize(resident)} resident, ${formatSize(own)} of it its own`);
  };
  await memory("after its start");
  await load(socket, { ...options, seconds: WARM_UP_SECONDS }, signal);
  await memory(`after ${WARM_UP_SECONDS} seconds of ${options.clients} clients`);
  const tally = await load(socket, options, signal);
  await memory(`after ${options.seconds} seconds more`);
  reportCalls(line, tally, options.seconds);

  const left = (await Array.fromAsync(driver.layers())).map(({ id }) => id).filter((id) => id !== "base");
  if (left.length > 0) line(`left: ${left.join(" ")}`);
  const about = `${await aboutMachine()}, ${options.clients} clients, ${options.seconds} seconds.`;
  await replaceFigures(options.table, TASK, [about, "", "```text", ...lines, "```"].join("\n"));
  return tally.errors.length + left.length === 0 ? EXIT.ok : EXIT.failed;
}

if (import.meta.main) Deno.exit(await runProgram(TASK, (signal) => run(Deno.args, signal)));

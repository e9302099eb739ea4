// SPDX-License-Identifier: Apache-2.0

/**
 * `deno task fuzz`: unpacks damaged and hostile archives until the time is over. Each case is a number of a run, and a
 * run is a seed: `--seed 7 --case 1234` gives one case again.
 *
 *     deno task fuzz [--seed N] [--minutes M | --cases N] [--case I] [--findings DIR]
 *
 * The cases run in a child process. One that crashes, or is at one case for too long, is a finding as well; after a
 * finding another child goes on behind it. `LAMINA_TEST_DIR` says on which file system.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { TempDir } from "../_helpers/temp_dir.ts";
import { archiveOf, type Finding, runCases } from "./run_cases.ts";
import { TIME_LIMIT_MS } from "./world.ts";

const MOST_FINDINGS = 20;
/** The world's own checks come on top of the time that one archive may take. */
const SILENCE_LIMIT_MS = 2 * TIME_LIMIT_MS;
const CHILD_MARK = "--child";

type Message = { at: number } | { finding: Finding };

function say(text: string): void {
  const bytes = new TextEncoder().encode(`${text}\n`);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}

/** The child: one line of JSON before each case, and one for a finding, with which it ends. */
async function runChild(seed: number, first: number, cases: number): Promise<void> {
  const tell = (message: Message): void => say(JSON.stringify(message));
  const finding = await runCases({ seed, first, cases, onCase: (at) => tell({ at }) });
  if (finding !== undefined) tell({ finding });
}

/** Runs cases in a child until the first finding; where it came to, and the finding. */
async function superviseChild(
  seed: number,
  first: number,
  cases: number,
  deadline: number,
  directory: string,
): Promise<{ next: number; finding: Finding | undefined }> {
  const self = fileURLToPath(import.meta.url);
  const args = ["run", "--quiet", "--allow-all", self, CHILD_MARK, String(seed), String(first), String(cases)];
  await using child = new Deno.Command(Deno.execPath(), {
    args,
    env: { LAMINA_TEST_DIR: directory },
    stdout: "piped",
  }).spawn();
  let at = first;
  let end: string | undefined;
  const stop = (reason: string): void => {
    end ??= reason;
    child.kill("SIGKILL");
  };
  let silence = setTimeout(stop, 4 * SILENCE_LIMIT_MS, "no case was begun");
  const timeout = setTimeout(stop, Math.max(0, deadline - Date.now()), "deadline");
  let finding: Finding | undefined;
  let rest = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    clearTimeout(silence);
    silence = setTimeout(stop, SILENCE_LIMIT_MS, `it hangs: nothing was heard for ${SILENCE_LIMIT_MS} ms`);
    for (const line of lines) {
      const message = JSON.parse(line) as Message;
      if ("at" in message) at = message.at;
      else finding = message.finding;
    }
  }
  clearTimeout(silence);
  clearTimeout(timeout);
  const { success, code, signal } = await child.status;
  if (end === "deadline") return { next: at, finding };
  if (!success) finding ??= { seed, index: at, reason: end ?? `the process crashed: exit ${code}, signal ${signal}` };
  return { next: at + 1, finding };
}

async function report({ seed, index, reason }: Finding, directory: string): Promise<void> {
  await Deno.mkdir(directory, { recursive: true });
  const path = `${directory}/seed-${seed}-case-${index}.tar`;
  await Deno.writeFile(path, await archiveOf(seed, index));
  say(`FOUND ${path}: ${reason}\n      again: deno task fuzz --seed ${seed} --case ${index}`);
}

async function run(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      minutes: { type: "string", default: "5" },
      cases: { type: "string", default: String(Number.MAX_SAFE_INTEGER) },
      case: { type: "string" },
      findings: { type: "string", default: "build/fuzz" },
    },
  });
  const seed = Number(values.seed ?? crypto.getRandomValues(new Uint16Array(1))[0]);
  const begin = Date.now();
  const deadline = begin + Number(values.minutes) * 60_000;
  const first = Number(values.case ?? 0);
  const cases = values.case === undefined ? Number(values.cases) : 1;
  say(`seed ${seed}`);
  // A child that is killed leaves its own behind.
  await using directory = await TempDir.make();
  let next = first;
  let findings = 0;
  while (next < first + cases && Date.now() < deadline && findings < MOST_FINDINGS) {
    const result = await superviseChild(seed, next, first + cases - next, deadline, directory.path);
    next = result.next;
    if (result.finding === undefined) continue;
    findings++;
    await report(result.finding, values.findings);
  }
  const seconds = (Date.now() - begin) / 1000;
  say(`seed ${seed}: ${next - first} cases in ${seconds.toFixed(0)} s, ${findings} findings`);
  return findings;
}

if (import.meta.main) {
  const [mark, ...numbers] = Deno.args;
  if (mark === CHILD_MARK) await runChild(Number(numbers[0]), Number(numbers[1]), Number(numbers[2]));
  else if (await run() > 0) Deno.exit(1);
}

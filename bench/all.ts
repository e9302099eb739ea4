// SPDX-License-Identifier: Apache-2.0

/**
 * `deno task bench:all`: every figure that README.md and bench/README.md tell, one task after another. Each writes its own
 * part of bench/README.md. Needs root, some 25 minutes and a machine that does nothing else.
 *
 *     --peers-dir DIR   where the peers and the data are, see bench/README.md (default: PEERS_DIR)
 *     --table FILE      Markdown file that gets the figures; "-" for none (default bench/README.md)
 *     --quick           the least of each: shows that all of it works, and measures nothing
 *
 * @module
 */

import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { runProgram } from "./_program.ts";
import { EXIT } from "./_refusal.ts";

/** A program of this directory, and what it is told for the least that it can do. */
const PROGRAMS: readonly { file: string; quick: readonly string[]; takesPeers: boolean }[] = [
  { file: "start_time.ts", quick: ["--rounds", "2"], takesPeers: false },
  { file: "agent_soak.ts", quick: ["--clients", "4", "--seconds", "2"], takesPeers: false },
  { file: "engine_side_by_side.ts", quick: ["--rounds", "1", "--sets", "small"], takesPeers: true },
];

async function run(args: string[]): Promise<number> {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ args, options: { "peers-dir": text, table: text, quick: { type: "boolean" } } });
  const peersDir = values["peers-dir"];
  for (const { file, quick, takesPeers } of PROGRAMS) {
    const options = [
      ...(values.table === undefined ? [] : ["--table", values.table]),
      ...(values.quick ? quick : []),
      ...(takesPeers && peersDir !== undefined ? ["--peers-dir", peersDir] : []),
    ];
    const program = fileURLToPath(new URL(file, import.meta.url));
    const command = new Deno.Command(Deno.execPath(), { args: ["run", "--allow-all", program, ...options] });
    // What it has to say goes where ours goes.
    const { code } = await command.spawn().status;
    if (code !== EXIT.ok) return code;
  }
  return EXIT.ok;
}

// Ctrl-C reaches the program that runs; this one waits until that has cleared away.
if (import.meta.main) Deno.exit(await runProgram("bench:all", () => run(Deno.args)));

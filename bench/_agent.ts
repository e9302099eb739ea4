// SPDX-License-Identifier: Apache-2.0

/**
 * An agent for measurements: a process of its own, from the sources.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { connect, isStorageError } from "../mod.ts";

const CLI = fileURLToPath(new URL("../cli.ts", import.meta.url));
const START_MS = 30_000;
const POLL_MS = 20;

/** Where a store is. */
export interface Places {
  root: string;
  runRoot: string;
}

/** Starts an agent and waits until it has answered once; `undo` ends it. */
export async function startAgent(
  { root, runRoot }: Places,
  undo: AsyncDisposableStack,
): Promise<{ pid: number; socket: string }> {
  // As the binary is compiled: see compile.sh.
  const flags = ["--v8-flags=--max-semi-space-size=8,--expose-gc", "--allow-all", "--quiet"];
  const args = ["run", ...flags, CLI, "--root", root, "--run-root", runRoot, "--driver", "overlay2"];
  const agent = new Deno.Command(Deno.execPath(), { args: [...args, "--quiet", "serve"], stdin: "null" }).spawn();
  undo.defer(async () => {
    agent.kill("SIGTERM");
    await agent.status;
  });
  const socket = `${runRoot}/lamina.sock`;
  await untilAnswered(socket);
  return { pid: agent.pid, socket };
}

async function untilAnswered(socket: string): Promise<void> {
  for (const end = performance.now() + START_MS;;) {
    try {
      await using _client = await connect({ socket });
      return;
    } catch (error) {
      if (!isStorageError(error, "agent_unreachable") || performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina serve` as a child process, in a directory of one test's own.
 *
 * @module
 */

import { laminaCommand } from "../cli/_run_lamina.ts";
import type { TempDir } from "../_helpers/temp_dir.ts";

const START_MS = 60_000;
const STOP_MS = 30_000;
const POLL_MS = 20;

/** How an agent is started. */
export interface AgentOptions {
  /** The plugin's name. */
  name?: string;
  /** Where its socket goes; left out, `plugins` in the directory. */
  pluginDir?: string;
  /** Left out, `run` in the directory. */
  runRoot?: string;
  /** Further words of the command line. */
  args?: readonly string[];
  /** A command that runs the agent: `["unshare", "-m"]`. */
  wrapper?: readonly string[];
}

/** A running agent. Disposing it ends it. */
export class Agent implements AsyncDisposable {
  #isRunning = true;

  private constructor(readonly socket: string, readonly process: Deno.ChildProcess, readonly logFile: string) {
    process.status.then(() => this.#isRunning = false);
  }

  /** Starts one in `directory`, and waits until it listens. */
  static async start(directory: TempDir, options: AgentOptions = {}): Promise<Agent> {
    const { name = "lamina", pluginDir = directory.join("plugins"), runRoot = "run", args = [], wrapper = [] } =
      options;
    const logFile = directory.join("agent.log");
    const socket = `${pluginDir}/${name}.sock`;
    const serve = ["serve", "--docker-plugin", name, "--docker-plugin-dir", pluginDir, ...args];
    const words = [...wrapper, ...laminaCommand(), "--run-root", directory.join(runRoot), "--verbose", ...serve];
    // The shell gives its place to the agent, so that the process id is the agent's.
    const process = new Deno.Command("sh", {
      args: ["-c", 'exec "$@" >>"$0" 2>&1', logFile, ...words],
      stdin: "null",
    }).spawn();
    await using undo = new AsyncDisposableStack();
    const agent = undo.use(new Agent(socket, process, logFile));
    for (const end = Date.now() + START_MS; !await answers(socket);) {
      if (!agent.#isRunning || Date.now() > end) throw new Error(`the agent did not start:\n${await agent.log()}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    undo.move();
    return agent;
  }

  /** Whether it has not ended. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** What it has said so far. */
  async log(): Promise<string> {
    return await Deno.readTextFile(this.logFile);
  }

  /** Ends it as an init does; its exit number. */
  async stop(): Promise<number> {
    this.process.kill("SIGTERM");
    return (await this.process.status).code;
  }

  /** Ends it as nothing else does. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isRunning) return;
    this.process.kill("SIGTERM");
    const timer = setTimeout(() => this.process.kill("SIGKILL"), STOP_MS);
    await this.process.status;
    clearTimeout(timer);
  }
}

async function answers(path: string): Promise<boolean> {
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}

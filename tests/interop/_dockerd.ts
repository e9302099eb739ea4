// SPDX-License-Identifier: Apache-2.0

/**
 * A real dockerd for one test: with its own data-root, its own containerd and no network. All it starts ends with it.
 *
 * @module
 */

import { needsProgram, type Requirement } from "../_helpers/requires.ts";
import { runBytes, type RunOptions } from "../_helpers/run.ts";
import type { TempDir } from "../_helpers/temp_dir.ts";

/** The programs of a Docker test. */
export const NEEDS_DOCKERD: readonly Requirement[] = ["dockerd", "docker", "busybox", "setcap", "tar"].map(
  needsProgram,
);

const START_MS = 60_000;
const STOP_MS = 30_000;
const POLL_MS = 50;

/** A running dockerd. Disposing it stops it, and what it started, even where it does not want to. */
export class Dockerd implements AsyncDisposable {
  readonly #directory: TempDir;
  readonly #process: Deno.ChildProcess;
  #isRunning = true;

  private constructor(directory: TempDir, process: Deno.ChildProcess) {
    this.#directory = directory;
    this.#process = process;
    process.status.then(() => this.#isRunning = false);
  }

  /** Where dockerd keeps everything in `directory`: it is there again when the next one starts. */
  static dataRoot(directory: TempDir): string {
    return directory.join("data");
  }

  /**
   * Starts one in `directory`, and waits until it answers.
   *
   * @param driver Docker's own, or the name of a plugin.
   * @param more Further options.
   * @param wrapper A command that runs dockerd: `["nsenter", "-m", "-t", "1"]`.
   */
  static async start(
    directory: TempDir,
    driver = "overlay2",
    more: readonly string[] = [],
    wrapper: readonly string[] = [],
  ): Promise<Dockerd> {
    const options = [
      ["--data-root", Dockerd.dataRoot(directory)],
      ["--exec-root", directory.join("exec")],
      ["--pidfile", directory.join("dockerd.pid")],
      ["--host", `unix://${directory.join("docker.sock")}`],
      ["--storage-driver", driver],
      ["--bridge=none", "--iptables=false", "--ip-forward=false"],
      more,
    ].flat();
    // The shell gives its place to dockerd, so that the process id is dockerd's.
    const script = 'exec "$@" >"$0" 2>&1';
    const process = new Deno.Command("sh", {
      args: ["-c", script, directory.join("dockerd.log"), ...wrapper, "dockerd", ...options],
      stdin: "null",
    }).spawn();
    await using undo = new AsyncDisposableStack();
    const dockerd = undo.use(new Dockerd(directory, process));
    for (const end = Date.now() + START_MS;;) {
      if ((await dockerd.run(["version"])).code === 0) break;
      if (!dockerd.#isRunning || Date.now() > end) throw new Error(`dockerd did not start:\n${await dockerd.#log()}`);
      await sleep(POLL_MS);
    }
    undo.move();
    return dockerd;
  }

  /** Its process, while it runs. */
  get pid(): number | undefined {
    return this.#isRunning ? this.#process.pid : undefined;
  }

  /** Ends it as nothing else does. Its containers live on, until the next one finds them. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
    // Its containerd dies with it. Where nobody collects the dead, the next dockerd would take it for alive, by its number.
    const pidFile = this.#directory.join("exec/containerd/containerd.pid");
    while (textOf(`/proc/${textOf(pidFile)}/cmdline`) !== "") await sleep(POLL_MS);
    await Deno.remove(pidFile);
  }

  async #log(): Promise<string> {
    return (await Deno.readTextFile(this.#directory.join("dockerd.log"))).split("\n").slice(-20).join("\n");
  }

  /** Runs `docker` with `args`. */
  async run(
    args: readonly string[],
    options: RunOptions = {},
  ): Promise<{ code: number; stdout: Uint8Array<ArrayBuffer>; stderr: string }> {
    return await runBytes("docker", args, { ...options, env: this.#env });
  }

  /** Starts `docker` with `args`; its input is the caller's to write. */
  spawn(args: readonly string[]): Deno.ChildProcess {
    const piped = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
    return new Deno.Command("docker", { args: [...args], env: this.#env, ...piped }).spawn();
  }

  get #env(): Record<string, string> {
    return {
      DOCKER_HOST: `unix://${this.#directory.join("docker.sock")}`,
      DOCKER_CONFIG: this.#directory.join("client"),
      // BuildKit keeps its layers in books of its own, and would want a plugin of the client.
      DOCKER_BUILDKIT: "0",
    };
  }

  /** As `run`, for a command that must succeed; what it printed, as text. */
  async docker(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(args, options);
    if (code !== 0) throw new Error(`docker ${args.join(" ")} ended with ${code}:\n${stderr}\n${await this.#log()}`);
    return new TextDecoder().decode(stdout).trimEnd();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.#killAll();
  }

  /** Ends it as an init does; containers end with it. */
  async stop(): Promise<void> {
    if (!this.#isRunning) return;
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#killAll(), STOP_MS);
    await this.#process.status;
    clearTimeout(timer);
  }

  /** Whatever is left: the first process of each container, and who has our directory among its arguments. */
  #killAll(): void {
    const execRoot = this.#directory.join("exec");
    const tasks = `${execRoot}/containerd/daemon/io.containerd.runtime.v2.task/moby`;
    for (const id of namesIn(tasks)) kill(Number(textOf(`${tasks}/${id}/init.pid`)));
    for (const pid of namesIn("/proc").map(Number)) {
      if (pid > 0 && textOf(`/proc/${pid}/cmdline`).includes(execRoot)) kill(pid);
    }
  }
}

function namesIn(directory: string): string[] {
  return orNothing(() => [...Deno.readDirSync(directory)].map(({ name }) => name)) ?? [];
}

function textOf(file: string): string {
  return orNothing(() => Deno.readTextFileSync(file)) ?? "";
}

function kill(pid: number): void {
  // 0 is a file that says nothing, and would stand for this process's own group.
  if (pid > 1) orNothing(() => Deno.kill(pid, "SIGKILL"));
}

/** What `action` returns; undefined where its file or process is gone. */
function orNothing<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    // ESRCH: a process that ended while its file was open.
    if (error instanceof Deno.errors.NotFound || isEsrch(error)) return undefined;
    throw error;
  }
}

function isEsrch(error: unknown): boolean {
  return error instanceof Error && (error as Error & { code?: unknown }).code === "ESRCH";
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

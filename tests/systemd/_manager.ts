// SPDX-License-Identifier: Apache-2.0

/**
 * A systemd of one test's own: process 1 of namespaces, with the units of this checkout.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import type { Requirement } from "../_helpers/requires.ts";
import { run, runOk, type RunResult } from "../_helpers/run.ts";
import type { TempDir } from "../_helpers/temp_dir.ts";
import { until } from "../agent/_until.ts";
import { laminaCommand } from "../cli/_run_lamina.ts";

const SCRIPT = fileURLToPath(new URL("_manager.sh", import.meta.url));
/** Where the units lie. */
export const UNITS = fileURLToPath(new URL("../../systemd", import.meta.url));
const SYSTEMD = "/lib/systemd/systemd";

/** The test starts a systemd. */
export const needsSystemd: Requirement = { name: "systemd in namespaces", missing: missingSystemd };

let probed: { reason: string | undefined } | undefined;

function missingSystemd(): string | undefined {
  return (probed ??= { reason: probe() }).reason;
}

function probe(): string | undefined {
  try {
    if (!Deno.statSync(SYSTEMD).isFile) return `needs ${SYSTEMD}`;
  } catch {
    return `needs ${SYSTEMD}`;
  }
  const mounts = "mount --make-rprivate / && mount -t proc proc /proc && mount -t cgroup2 cgroup2 /mnt";
  const { success, stderr } = new Deno.Command("unshare", {
    args: [
      "--mount",
      "--pid",
      "--fork",
      "--cgroup",
      "sh",
      "-c",
      `${mounts} && mkdir /mnt/lamina-probe && rmdir /mnt/lamina-probe`,
    ],
    stdout: "null",
  }).outputSync();
  return success ? undefined : `needs namespaces with control groups: ${new TextDecoder().decode(stderr).trim()}`;
}

/** A running systemd; disposing it ends it, with all that it started. */
export class Manager implements AsyncDisposable {
  readonly #group = `lamina-test-${crypto.randomUUID()}`;
  readonly #process: Deno.ChildProcess;
  /** Process 1, as it is called here. */
  #pid = 0;

  private constructor(directory: TempDir) {
    const script = [
      "set -e",
      "mount --make-rprivate /",
      "mount -t cgroup2 cgroup2 /mnt",
      'mkdir "/mnt/$1"',
      'echo $$ >"/mnt/$1/cgroup.procs"',
      "umount /mnt",
      'exec unshare --pid --fork --kill-child --cgroup --uts --ipc --net sh "$2" "$3"',
    ];
    this.#process = new Deno.Command("unshare", {
      args: ["--mount", "sh", "-c", script.join("\n"), "sh", this.#group, SCRIPT, directory.path],
      stdin: "null",
    }).spawn();
  }

  /**
   * Starts one in `directory`, which has to be empty.
   *
   * @param lamina A script in the place of /usr/local/bin/lamina; left out, one that runs lamina.
   */
  static async start(directory: TempDir, lamina: string = runsLamina()): Promise<Manager> {
    await Deno.writeTextFile(directory.join("lamina"), `#!/bin/sh\n${lamina}\n`, { mode: 0o755 });
    await directory.mkdir("units");
    await runOk("cp", ["-r", `${UNITS}/.`, directory.join("units")]);
    for (const name of ["test", "sysinit", "basic", "shutdown", "local-fs", "multi-user"]) {
      await Deno.writeTextFile(directory.join("units", `${name}.target`), "[Unit]\nDefaultDependencies=no\n");
    }
    await using undo = new AsyncDisposableStack();
    const manager = undo.use(new Manager(directory));
    await until(() => manager.#isUp());
    undo.move();
    return manager;
  }

  async #isUp(): Promise<boolean> {
    const { pid } = this.#process;
    const children = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`).catch(() => "");
    this.#pid = Number(children.trim().split(" ")[0]);
    if (this.#pid === 0) return false;
    return (await this.systemctl("is-active", "test.target")).stdout === "active\n";
  }

  /** Runs a program where systemd runs. */
  async run(program: string, ...args: readonly string[]): Promise<RunResult> {
    return await run("nsenter", [`--target=${this.#pid}`, "--mount", "--pid", "--uts", "--ipc", program, ...args]);
  }

  /** Runs systemctl. */
  async systemctl(...args: readonly string[]): Promise<RunResult> {
    return await this.run("systemctl", ...args);
  }

  /** As {@linkcode systemctl}, for what must succeed. */
  async ok(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.systemctl(...args);
    if (code !== 0) throw new Error(`systemctl ${args.join(" ")} ended with ${code}: ${stderr}`);
    return stdout;
  }

  /** A property of a unit. */
  async property(unit: string, name: string): Promise<string> {
    return (await this.ok("show", "--value", `--property=${name}`, unit)).trim();
  }

  /** Whether something is mounted at `path` for systemd itself, and so for all its services. */
  async isMounted(path: string): Promise<boolean> {
    const mounts = await Deno.readTextFile(`/proc/${this.#pid}/mountinfo`);
    return mounts.split("\n").some((line) => line.split(" ")[4] === path);
  }

  /** What a path of systemd's is called here. */
  path(path: string): string {
    return `/proc/${this.#pid}/root${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Process 1 ends with it, and all others with that.
    this.#process.kill("SIGKILL");
    await this.#process.status;
    const removeGroups = 'mount -t cgroup2 cgroup2 /mnt && find "/mnt/$1" -depth -type d -exec rmdir {} +';
    await until(async () => {
      return (await run("unshare", ["--mount", "sh", "-c", removeGroups, "sh", this.#group])).code === 0;
    });
  }
}

/** Services have no home, where Deno keeps what it compiled. */
function runsLamina(): string {
  const words = laminaCommand().map((word) => `'${word}'`).join(" ");
  return `HOME='${Deno.env.get("HOME") ?? "/root"}' exec ${words} "$@"`;
}

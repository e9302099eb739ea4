// SPDX-License-Identifier: Apache-2.0

/**
 * Programs run by a real ordinary user, who has a name, a home, and subordinate ids if wanted. The user exists in a mount
 * namespace only, where other files lie over /etc/passwd and the like: the machine's own are not touched.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import type { Requirement } from "./requires.ts";
import { run, runOk, type RunResult } from "./run.ts";
import { assertEquals } from "./std_assert.ts";
import type { TempDir } from "./temp_dir.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const NAME = "lamina-test";

/** The number of the user and of the user's group. */
export const USER_ID = 65533;
/** The first of the user's 65,536 subordinate ids. */
export const FIRST_SUBORDINATE_ID = 700_000;

/** Mounts `$1` over `$2`, `$3` over `$4`, … up to a word `--`, and becomes the program after it. */
const MOUNT_AND_RUN = `
  while [ "$1" != -- ]; do mount --bind "$1" "$2" && shift 2 || exit 1; done
  shift && exec "$@"`;

/** The test has mount namespaces, and becomes somebody else. */
export const needsOrdinaryUser: Requirement = {
  name: "ordinary user",
  missing(): string | undefined {
    if (Deno.uid() !== 0) return `needs root, to become another user; runs as user ${Deno.uid()}`;
    const become = [
      "--mount",
      "setpriv",
      `--reuid=${USER_ID}`,
      "unshare",
      "--user",
      "--map-root-user",
      "--mount",
      "true",
    ];
    const { success, stderr } = new Deno.Command("unshare", { args: become }).outputSync();
    return success
      ? undefined
      : `needs user namespaces of an ordinary user: ${new TextDecoder().decode(stderr).trim()}`;
  },
};

/** An ordinary user, whose home lies in a directory of the test, and who has the command `lamina`. */
export class OrdinaryUser {
  private constructor(
    /** A directory of the user's own. */
    readonly home: string,
    /** A directory of programs that come before the system's. */
    readonly commands: string,
    readonly covers: readonly string[],
  ) {}

  /** Makes the user. Deno, its cache and the sources may lie where ordinary users may not go: they are shown elsewhere. */
  static async make(directory: TempDir, { hasSubordinateIds = false } = {}): Promise<OrdinaryUser> {
    await Deno.chmod(directory.path, 0o711);
    const home = await directory.mkdir("home");
    await Deno.mkdir(`${home}/run`, { mode: 0o700 });
    const commands = await directory.mkdir("commands");
    const covers = new Covers(directory);
    const passwd = (await Deno.readTextFile("/etc/passwd")).trimEnd();
    await covers.text("/etc/passwd", `${passwd}\n${NAME}:x:${USER_ID}:${USER_ID}::${home}:/bin/sh\n`);
    const ids = hasSubordinateIds ? `${NAME}:${FIRST_SUBORDINATE_ID}:65536\n` : "";
    for (const file of ["/etc/subuid", "/etc/subgid"]) await covers.text(file, ids);
    const binary = Deno.env.get("LAMINA_BINARY");
    if (binary === undefined) await showSources(covers, home, commands);
    else await covers.file(await Deno.realPath(binary), `${commands}/lamina`);
    for await (const path of walk(home)) await Deno.chown(path, USER_ID, USER_ID);
    return new OrdinaryUser(home, commands, covers.pairs);
  }

  /** Runs a program as this user, in the user's home; the exit code is the caller's to judge. */
  async run(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<RunResult> {
    return await run("unshare", ["--mount", ...this.become(env), program, ...args]);
  }

  /** As {@linkcode run}, for a line of a shell. */
  async sh(line: string, env: Readonly<Record<string, string>> = {}): Promise<RunResult> {
    return await this.run("sh", ["-c", line], env);
  }

  /** As {@linkcode sh}, for a line that must succeed without a word on standard error; what it printed. */
  async ok(line: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
    const { code, stdout, stderr } = await this.sh(line, env);
    assertEquals({ line, code, stderr }, { line, code: 0, stderr: "" });
    return stdout;
  }

  /** The words before a program that run it as this user, in a mount namespace that is not the machine's. */
  become(env: Readonly<Record<string, string>> = {}): string[] {
    const variables = Object.entries({
      HOME: this.home,
      XDG_RUNTIME_DIR: `${this.home}/run`,
      PATH: `${this.commands}:/usr/bin:/bin`,
      LC_ALL: "C",
      NO_COLOR: "1",
      DENO_NO_UPDATE_CHECK: "1",
      ...env,
    }).map(([name, value]) => `${name}=${value}`);
    return [
      ...["sh", "-c", MOUNT_AND_RUN, "sh", ...this.covers, "--"],
      ...["setpriv", `--reuid=${USER_ID}`, `--regid=${USER_ID}`, "--clear-groups", "--"],
      ...["env", "-i", `--chdir=${this.home}`, ...variables],
    ];
  }
}

async function showSources(covers: Covers, home: string, commands: string): Promise<void> {
  const { stdout } = await runOk(Deno.execPath(), ["info", "--json"]);
  const { npmCache } = JSON.parse(stdout) as { npmCache: string };
  await covers.directoryAt(npmCache, `${home}/.cache/deno/npm`);
  await covers.file(Deno.execPath(), `${commands}/deno`);
  await covers.directoryAt(ROOT, `${commands}/sources`);
  const script = `#!/bin/sh\nexec deno run --no-lock --allow-all ${commands}/sources/cli.ts "$@"\n`;
  await Deno.writeTextFile(`${commands}/lamina`, script, { mode: 0o755 });
}

async function* walk(directory: string): AsyncIterable<string> {
  yield directory;
  for await (const { name } of Deno.readDir(directory)) yield* walk(`${directory}/${name}`);
}

/** What is mounted over what. */
class Covers {
  readonly pairs: string[] = [];

  constructor(readonly directory: TempDir) {}

  /** `text` lies over the file `path`. */
  async text(path: string, text: string): Promise<void> {
    const file = this.directory.join(path.replaceAll("/", "-"));
    await Deno.writeTextFile(file, text, { mode: 0o644 });
    this.pairs.push(file, path);
  }

  /** The file `source` can be had at `path` as well. */
  async file(source: string, path: string): Promise<void> {
    await Deno.writeTextFile(path, "");
    this.pairs.push(source, path);
  }

  /** The directory `source` can be had at `path` as well. */
  async directoryAt(source: string, path: string): Promise<void> {
    await Deno.mkdir(path, { recursive: true });
    this.pairs.push(source, path);
  }
}

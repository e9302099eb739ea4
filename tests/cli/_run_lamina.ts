// SPDX-License-Identifier: Apache-2.0

/**
 * The command line as a child process, on a store of its own. `LAMINA_BINARY` names an executable to test instead of the
 * sources, `LAMINA_IMPORT_MAP` other packages for them: see tests/jsr.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { run, type RunOptions, type RunResult } from "../_helpers/run.ts";
import { assertEquals } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const CLI = fileURLToPath(new URL("../../cli.ts", import.meta.url));

/** Program and first arguments that stand for `lamina`. */
export function laminaCommand(): [program: string, ...args: string[]] {
  const binary = Deno.env.get("LAMINA_BINARY");
  if (binary !== undefined) return [binary];
  const importMap = Deno.env.get("LAMINA_IMPORT_MAP");
  const map = importMap === undefined ? [] : ["--import-map", importMap];
  return [Deno.execPath(), "run", "--no-lock", "--allow-all", ...map, CLI];
}

/** Runs `lamina` with nothing but `args`. */
export async function runLamina(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [program, ...first] = laminaCommand();
  return await run(program, [...first, ...args], options);
}

/** A store that is gone at the end of its scope, mounts included. */
export class TestStore implements AsyncDisposable {
  private constructor(readonly directory: TempDir, readonly where: readonly string[]) {}

  static async make(): Promise<TestStore> {
    const directory = await TempDir.make();
    return TestStore.at(directory, ["--root", directory.join("root")]);
  }

  /** A store that somebody else made in `directory`; `where` are the options that name it. */
  static at(directory: TempDir, where: readonly string[]): TestStore {
    return new TestStore(directory, where);
  }

  /** The options that name the store. */
  get options(): string[] {
    return [...this.where, "--run-root", this.directory.join("run")];
  }

  /** Runs a command on this store. */
  async lamina(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return await runLamina([...this.options, ...args], options);
  }

  /** As `lamina`, for a command that must succeed; what it printed. */
  async ok(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.lamina(args, options);
    assertEquals(code, 0, `lamina ${args.join(" ")} ended with ${code}:\n${stderr}`);
    return stdout;
  }

  /** As `ok` with `--json`. */
  async json(args: readonly string[], options: RunOptions = {}): Promise<unknown> {
    return JSON.parse(await this.ok([...args, "--json"], options)) as unknown;
  }

  /** What `tree` draws, without the figures before it. */
  async drawing(): Promise<string> {
    const [head = "", ...lines] = (await this.ok(["tree"])).split("\n");
    return lines.map((line) => line.slice(head.indexOf("LAYER"))).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.directory[Symbol.asyncDispose]();
  }
}

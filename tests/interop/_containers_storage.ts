// SPDX-License-Identifier: Apache-2.0

/**
 * The program `containers-storage` on a store of its own.
 *
 * @module
 */

import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver, type OpenOptions } from "../../lib/drivers/registry.ts";
import { needsOverlay, needsProgram, needsRoot } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import type { TempDir } from "../_helpers/temp_dir.ts";

/** What a test with the program needs. */
export const CONTAINERS_STORAGE_NEEDS = [needsRoot, needsOverlay, needsProgram("containers-storage")];

/** A store that both programs use. What is mounted in it goes with the test's directory. */
export class ContainersStore {
  readonly root: string;
  readonly #runRoot: string;
  readonly #laminaRunRoot: string;

  constructor(directory: TempDir, name: string, readonly storageOptions: readonly string[] = []) {
    this.root = directory.join(name);
    this.#runRoot = directory.join(`${name}-run`);
    this.#laminaRunRoot = directory.join(`${name}-lamina-run`);
  }

  /** Runs `containers-storage COMMAND`, which must succeed; what it printed. */
  async tool(command: string, ...args: string[]): Promise<string> {
    const options = this.storageOptions.map((option) => `--storage-opt=${option}`);
    const places = ["-g", this.root, "-R", this.#runRoot, "-s", "overlay"];
    const { stdout } = await runOk("containers-storage", [command, ...places, ...options, ...args]);
    return stdout.trimEnd();
  }

  /** The paths that the program lists, as lamina says them. */
  async toolChanges(id: string): Promise<{ path: string; kind: string }[]> {
    const lines = (await this.tool("changes", id)).split("\n").filter((line) => line !== "");
    return lines.map((line) => {
      const [, kind, path] = /^(\w+) (".*")$/.exec(line)!;
      return { path: JSON.parse(path!) as string, kind: kind!.toLowerCase() };
    });
  }

  /** Opens the store with lamina. */
  async open(options: OpenOptions = {}): Promise<GraphDriver> {
    return await openDriver({
      root: this.root,
      runRoot: this.#laminaRunRoot,
      options: this.storageOptions,
      work: "in-place",
      ...options,
    });
  }

  /** The options of the command line that open it. */
  get cliOptions(): string[] {
    const options = this.storageOptions.flatMap((option) => ["--storage-opt", option]);
    return ["--root", this.root, "--run-root", this.#laminaRunRoot, ...options];
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What is on the disk, and when. sync_policy.ts says what each policy promises.
 *
 * @module
 */

import { filesIn, syncPaths, writeBack, writeNewFile } from "../util/atomic_write.ts";
import { type FileState, stateBeforeNames } from "../util/write_order.ts";
import type { SyncPolicy } from "./sync_policy.ts";
import type { WorkRunner } from "./_work_runner.ts";

/** Follows the policy of one home. */
export class LayerSync {
  readonly #policy: SyncPolicy;
  readonly #home: string;
  readonly #runner: WorkRunner;
  #needed: FileState | undefined;

  /** @param runner Where all of a layer's content is waited for. */
  constructor(policy: SyncPolicy, home: string, runner: WorkRunner) {
    this.#policy = policy;
    this.#home = home;
    this.#runner = runner;
  }

  /** Whether files of the store's own are on the disk before they count. */
  get isOn(): boolean {
    return this.#policy !== "none";
  }

  /** How far the store's own files have to be before the layer that they are in has a name. */
  get #neededState(): FileState {
    return this.#needed ??= stateBeforeNames(this.#home);
  }

  /** Whether {@linkcode layer} waits for the disk. */
  get waitsForLayers(): boolean {
    return this.#policy === "full" || (this.isOn && this.#neededState !== "started");
  }

  /** Makes a file of the store's own in a layer that is being built. */
  writeFile(path: string, content: string, mode: number): void {
    writeNewFile(path, content, mode, this.isOn ? "started" : "none");
  }

  /**
   * Sees to it that the layer which was built at `directory` is whole on the disk before it has the name that it gets next, as
   * far as the policy asks for.
   */
  async layer(directory: string): Promise<void> {
    if (this.#policy === "full") return await this.content(directory);
    if (!this.waitsForLayers) return;
    const files = filesIn(directory);
    if (this.#neededState === "written") return await writeBack(files);
    // btrfs brings back a directory without what was made in it, and files without their names.
    await syncPaths([...files, directory]);
  }

  /** Has the content at `directory` on the disk, where that is asked for: before it gets the name by which it counts. */
  async content(directory: string): Promise<void> {
    if (this.#policy === "full") await this.#runner.run("sync", { directory });
  }

  /** Has names in `directories` on the disk that came, went or changed, where that is asked for. */
  async names(...directories: string[]): Promise<void> {
    if (this.#policy === "full") await syncPaths(directories);
  }
}

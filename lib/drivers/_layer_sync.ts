// SPDX-License-Identifier: Apache-2.0

/**
 * What is on the disk, and when. sync_policy.ts says what each policy promises.
 *
 * @module
 */

import { syncDirectory, syncPaths, writeNewFile } from "../util/atomic_write.ts";
import { keepsWriteOrder } from "../util/write_order.ts";
import type { SyncPolicy } from "./sync_policy.ts";
import type { WorkRunner } from "./_work_runner.ts";

/** Follows the policy of one home. */
export class LayerSync {
  readonly #policy: SyncPolicy;
  readonly #home: string;
  readonly #runner: WorkRunner;
  #keepsOrder: boolean | undefined;

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

  /** Whether {@linkcode layer} waits for the disk. */
  get waitsForLayers(): boolean {
    if (this.#policy !== "metadata") return this.#policy === "full";
    return !(this.#keepsOrder ??= keepsWriteOrder(this.#home));
  }

  /** Makes a file of the store's own in a layer that is being built. */
  writeFile(path: string, content: string, mode: number): void {
    writeNewFile(path, content, mode, this.isOn && !this.waitsForLayers ? "started" : "none");
  }

  /** Sees to it that the layer which was built at `directory` is whole on the disk before it has the name that it gets next. */
  async layer(directory: string): Promise<void> {
    if (this.#policy === "full") return await this.content(directory);
    // btrfs brings back a directory without what was made in it, and files that were waited for come without their names.
    if (this.waitsForLayers) await syncDirectory(directory);
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

// SPDX-License-Identifier: Apache-2.0

/**
 * Which layers lie on which, for those who ask often: a parent is nowhere told who its children are, so that each answer
 * would take a look into every layer of the home.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { isLayerId } from "../layer_id.ts";
import { DirectoryWatch } from "../util/directory_watch.ts";
import { readDiskFileIfExists } from "../util/read_file.ts";
import type { LayerLayout } from "./_layer_layout.ts";

/** Other programs make a layer's directory first and write `lower` a moment later: that long it may yet come. */
const SETTLED_AFTER_MS = 10_000;

/** The children of one home's layers. It watches the home, so it knows of what other processes do. */
export class ChildIndex implements Disposable {
  readonly #layout: LayerLayout;
  readonly #watch: DirectoryWatch;
  /** The uppermost lower layer of each layer that has any, as its `lower` file spells it. */
  readonly #lowers = new Map<string, string>();
  readonly #children = new Map<string, Set<string>>();
  /** Layers that have yet to be looked at, or at which there was nothing to see: since when, by a clock that nobody sets. */
  readonly #unknown: Map<string, number>;

  private constructor(layout: LayerLayout, watch: DirectoryWatch) {
    this.#layout = layout;
    this.#watch = watch;
    this.#unknown = new Map(layout.layerIds().map((id) => [id, performance.now()]));
  }

  /** Undefined where the home cannot be watched. */
  static tryMake(layout: LayerLayout): ChildIndex | undefined {
    try {
      const watch = DirectoryWatch.tryMake(layout.home);
      return watch === undefined ? undefined : new ChildIndex(layout, watch);
    } catch (error) {
      if (isErrno(error, "ENOSPC", "ENOENT", "EACCES")) return undefined;
      throw error;
    }
  }

  /** A layer right above the one of the short name `link` (`l/…`); null when what is known got lost. */
  find(link: string): string | undefined | null {
    const changed = this.#watch.changedNames();
    if (changed === undefined) return null;
    for (const id of changed) {
      if (!isLayerId(id)) continue;
      this.#forget(id);
      // Also one that went, by the last that was heard of it: of two names that are exchanged that is said of both.
      this.#unknown.set(id, performance.now());
    }
    for (const [id, since] of this.#unknown) this.#look(id, since);
    const [child] = this.#children.get(link) ?? [];
    return child;
  }

  #forget(id: string): void {
    const lower = this.#lowers.get(id);
    if (lower === undefined) return;
    this.#lowers.delete(id);
    this.#children.get(lower)?.delete(id);
  }

  #look(id: string, since: number): void {
    const lower = readDiskFileIfExists(this.#layout.lowerFile(id))?.split(":", 1)[0];
    const mayCome = performance.now() - since < SETTLED_AFTER_MS && this.#layout.exists(id);
    if (lower === undefined && mayCome) return;
    this.#unknown.delete(id);
    if (lower === undefined) return;
    this.#lowers.set(id, lower);
    const children = this.#children.get(lower);
    if (children === undefined) this.#children.set(lower, new Set([id]));
    else children.add(id);
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }
}

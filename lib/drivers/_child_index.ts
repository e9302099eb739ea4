// SPDX-License-Identifier: Apache-2.0

/**
 * Which layers lie on which, for those who ask often: a parent is nowhere told who its children are, so that each answer
 * would take a look into every layer of the home.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "../../ffi/file.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import { isLayerId } from "../layer_id.ts";
import { DirectoryWatch } from "../util/directory_watch.ts";
import { isUnchanged, showsNextChange } from "../util/modification_time.ts";
import type { LayerLayout } from "./_layer_layout.ts";

/** Other programs make a layer's directory first and write `lower` a moment later: that long it may yet come. */
const SETTLED_AFTER_MS = 10_000;

/** A layer that has yet to be looked at, or at which there was nothing to see. */
interface Unknown {
  /** Until when something may come, by a clock that nobody sets. */
  untilMs: number;
  /** Its directory when it was looked at, if a change since shows in that. */
  seen: Stat | undefined;
}

/** Filled and read within one call. */
const found = new Stat();

/** The children of one home's layers. It watches the home, so it knows of what other processes do. */
export class ChildIndex implements Disposable {
  readonly #layout: LayerLayout;
  readonly #watch: DirectoryWatch;
  /** The uppermost lower layer of each layer that has any, as its `lower` file spells it. */
  readonly #lowers = new Map<string, string>();
  readonly #children = new Map<string, Set<string>>();
  readonly #unknown = new Map<string, Unknown>();

  private constructor(layout: LayerLayout, watch: DirectoryWatch) {
    this.#layout = layout;
    this.#watch = watch;
    for (const id of layout.layerIds()) this.#lookLater(id, SETTLED_AFTER_MS);
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
    for (const [id, change] of changed) {
      if (!isLayerId(id)) continue;
      this.#forget(id);
      // Also one that went, by all that was heard of it: of two names that are exchanged that is said of both. What was renamed
      // to a layer's name is whole: lamina makes them so.
      this.#lookLater(id, change === "moved" ? 0 : SETTLED_AFTER_MS);
    }
    for (const [id, unknown] of this.#unknown) this.#look(id, unknown);
    const [child] = this.#children.get(link) ?? [];
    return child;
  }

  #lookLater(id: string, mayComeForMs: number): void {
    this.#unknown.set(id, { untilMs: performance.now() + mayComeForMs, seen: undefined });
  }

  #forget(id: string): void {
    const lower = this.#lowers.get(id);
    if (lower === undefined) return;
    this.#lowers.delete(id);
    this.#children.get(lower)?.delete(id);
  }

  #look(id: string, unknown: Unknown): void {
    const isThere = tryStatx(AT_FDCWD, this.#layout.dir(id), AT_SYMLINK_NOFOLLOW, found) === 0 && found.isDirectory;
    const hasNothingNew = isThere && unknown.seen !== undefined && isUnchanged(found, unknown.seen);
    const canTell = isThere && showsNextChange(found);
    const lower = isThere && !hasNothingNew ? this.#layout.firstLower(id) : undefined;
    // Who made an empty file is about to write.
    const isKnown = lower !== undefined && lower !== "";
    if (isKnown) this.#add(id, lower);
    if (isKnown || !isThere || performance.now() >= unknown.untilMs) this.#unknown.delete(id);
    else if (!hasNothingNew) unknown.seen = canTell && lower === undefined ? found.clone() : undefined;
  }

  #add(id: string, lower: string): void {
    this.#lowers.set(id, lower);
    const children = this.#children.get(lower);
    if (children === undefined) this.#children.set(lower, new Set([id]));
    else children.add(id);
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }
}

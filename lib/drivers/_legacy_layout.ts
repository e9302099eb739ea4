// SPDX-License-Identifier: Apache-2.0

/**
 * How Docker's legacy `overlay` lays layers out on disk. A layer is either an *image*, a whole tree of its own, or it lies
 * over exactly one image:
 *
 * ```
 * HOME/<id>/root/       the tree of an image, its files shared with the image below by hard links
 *
 * HOME/<id>/lower-id    the id of the image below, without a newline
 * HOME/<id>/upper/      what differs from that image, the upper directory of the mount
 * HOME/<id>/work/       the kernel's scratch directory
 * HOME/<id>/merged/     the mount point
 * ```
 *
 * The format forgets parents: an image has none on disk, and a layer on one that is no image names the image below that.
 * So there are names of ours, which Docker neither minds nor needs:
 *
 * ```
 * HOME/<id>/.lamina-parent      the parent's id, where `lower-id` does not tell it
 * HOME/<id>/.lamina-committed   empty; another layer lies on this one, which is mounted read-only from then on
 * HOME/<id>/.lamina-applying/   content that is being unpacked
 * ```
 *
 * @module
 */

import { AT_FDCWD, existsat } from "../../ffi/file.ts";
import { isDirectory } from "../../ffi/stat.ts";
import { isStorageError, StorageError } from "../errors.ts";
import { isLayerId } from "../layer_id.ts";
import { idsIn } from "./_layer_ids.ts";
import { readLayerFile } from "./_store_file.ts";

/** What says that a directory is a layer. */
const SIGNS = ["root", "lower-id", "upper"] as const;

/** Reads and names the files of one home. */
export class LegacyLayout {
  constructor(readonly home: string) {}

  dir(id: string): string {
    return `${this.home}/${id}`;
  }
  rootDir(id: string): string {
    return `${this.home}/${id}/root`;
  }
  upperDir(id: string): string {
    return `${this.home}/${id}/upper`;
  }
  workDir(id: string): string {
    return `${this.home}/${id}/work`;
  }
  mergedDir(id: string): string {
    return `${this.home}/${id}/merged`;
  }
  lowerIdFile(id: string): string {
    return `${this.home}/${id}/lower-id`;
  }
  parentFile(id: string): string {
    return `${this.home}/${id}/.lamina-parent`;
  }
  committedFile(id: string): string {
    return `${this.home}/${id}/.lamina-committed`;
  }
  /** Locked while it is filled; what is whole is moved out of it. */
  applyingDir(id: string): string {
    return `${this.home}/${id}/.lamina-applying`;
  }

  /** Whether content lies aside that did not become the layer's. */
  isHalfApplied(id: string): boolean {
    return ["root", "upper"].some((name) => existsat(AT_FDCWD, `${this.applyingDir(id)}/${name}`));
  }

  /** Whether there is a layer `id`. */
  exists(id: string): boolean {
    return isDirectory(this.dir(id));
  }

  /** Whether the layer is an image. What an interrupted apply left beside the tree does not count: the tree is whole. */
  isImage(id: string): boolean {
    return isDirectory(this.rootDir(id));
  }

  /** The layer's own files: all of an image, or what differs from the image below. */
  contentDir(id: string): string {
    return this.isImage(id) ? this.rootDir(id) : this.upperDir(id);
  }

  /** The directories that are stacked to show the layer, uppermost first. */
  treeDirs(id: string): string[] {
    return this.isImage(id) ? [this.rootDir(id)] : [this.upperDir(id), this.rootDir(this.lowerId(id))];
  }

  /**
   * The image that a layer lies over, which is none itself.
   *
   * @throws {StorageError} `store_damaged`: `lower-id` is missing, or names no layer.
   */
  lowerId(id: string): string {
    const text = readLayerFile(this.lowerIdFile(id));
    if (text !== undefined && isLayerId(text)) return text;
    const state = text === undefined
      ? "is missing"
      : text === ""
      ? "is empty"
      : "holds something else than a layer's id";
    throw new StorageError("store_damaged", `Cannot use layer "${id}": ${this.lowerIdFile(id)} ${state}`, {
      hint: `write the id of the image below into it, without a newline, or remove the layer: lamina rm ${id}`,
    });
  }

  /** The parent as it was recorded by us; undefined where Docker's own files tell it, or nobody does. */
  recordedParent(id: string): string | undefined {
    const text = readLayerFile(this.parentFile(id));
    if (text === undefined || isLayerId(text)) return text;
    throw new StorageError("store_damaged", `Cannot use layer "${id}": ${this.parentFile(id)} holds no layer's id`, {
      hint: "write the parent's id into it, without a newline, or remove that file",
    });
  }

  /**
   * The layer that `id` began as a copy of; undefined where it began empty. A parent is recorded also of a layer whose
   * apply was killed when it had all but become an image.
   */
  copiedFrom(id: string): string | undefined {
    const parent = this.isImage(id) ? undefined : this.recordedParent(id);
    return parent !== undefined && !this.isImage(parent) && isDirectory(this.upperDir(parent)) ? parent : undefined;
  }

  /** The layer right below `id`; undefined for a base layer, and for an image that Docker made. */
  parentOf(id: string): string | undefined {
    const recorded = this.recordedParent(id);
    if (recorded !== undefined || this.isImage(id)) return recorded;
    try {
      return this.lowerId(id);
    } catch (error) {
      if (this.exists(id) && !this.isImage(id)) throw error;
      // It is gone since, or an apply has just made an image of it, and recorded its parent before.
      return this.recordedParent(id);
    }
  }

  /** How many layers lie below `id`, as far as they are there. */
  depthOf(id: string): number {
    const seen = new Set([id]);
    for (let below = this.parentOf(id); below !== undefined && !seen.has(below); below = this.parentOf(below)) {
      if (!this.exists(below)) break;
      seen.add(below);
    }
    return seen.size - 1;
  }

  /** The ids of all layers, sorted. Directories with nothing of a layer in them are something else's. */
  layerIds(): string[] {
    return idsIn(this.home).filter((id) => SIGNS.some((sign) => existsat(AT_FDCWD, `${this.dir(id)}/${sign}`))).sort();
  }

  /** A layer that needs `id`, if there is any: as its parent, or as the image it is mounted over. */
  findChildOf(id: string): string | undefined {
    return this.layerIds().find((other) => other !== id && this.#needs(other, id));
  }

  #needs(other: string, id: string): boolean {
    try {
      return this.recordedParent(other) === id || !this.isImage(other) && this.lowerId(other) === id;
    } catch (error) {
      // One damaged layer must not keep the others from being removed.
      if (isStorageError(error, "store_damaged")) return false;
      throw error;
    }
  }

  /** The first directory that the layer needs and that is not there. */
  missingDirectory(id: string): string | undefined {
    if (this.isImage(id)) return undefined;
    const needed = [this.upperDir(id), this.workDir(id), this.rootDir(this.lowerId(id))];
    return needed.find((path) => !isDirectory(path));
  }
}

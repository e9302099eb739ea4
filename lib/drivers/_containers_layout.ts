// SPDX-License-Identifier: Apache-2.0

/**
 * What containers/storage has beyond the layout of _layer_layout.ts:
 *
 * ```
 * HOME/<id>/work/, merged/   there from the beginning, for a base layer too
 * HOME/<id>/empty/           of a base layer: what its mount has for a lower layer
 * HOME/<id>/diff1/, diff2/…  older contents of the layer, right below diff: what it was before its files changed owners
 * STORE/overlay/<id>/…       layers of an image store: lower layers and read-only mounts, never changed
 * ```
 *
 * Which layers are images, and which layer is whose parent, its programs note in `ROOT/overlay-layers`; nothing of that is
 * read or written here.
 *
 * @module
 */

import { AT_FDCWD, existsat, Fd, O_DIRECTORY, O_RDONLY, openat, symlinkat, tryMkdirat } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import { isDirectory, statat } from "../../ffi/stat.ts";
import type { Logger } from "../log.ts";
import {
  LayerLayout,
  layersIn,
  LINK,
  LINK_DIR,
  LINK_REGEXP,
  readShortName,
  requireNoLink,
  shortNameMissing,
} from "./_layer_layout.ts";
import { readStoreFile } from "./_store_file.ts";

/** Other users may read through it, where the store is their image store. */
export const LINK_DIR_MODE = 0o755;

/** Reads and names the files of one home and of its image stores. */
export class ContainersLayout extends LayerLayout {
  /**
   * @param stores Homes of the image stores.
   * @param mountRoot Where layers of image stores are mounted, a directory a layer.
   */
  constructor(
    home: string,
    readonly stores: readonly string[],
    readonly mountRoot: string,
    readonly logger: Logger,
  ) {
    super(home);
  }

  /** The home of the image store that the layer lies in; undefined for a layer of this home, or of none. */
  storeOf(id: string): string | undefined {
    if (this.stores.length === 0 || isDirectory(`${this.home}/${id}`)) return undefined;
    return this.stores.find((store) => isDirectory(`${store}/${id}`));
  }

  override dir(id: string): string {
    return `${this.storeOf(id) ?? this.home}/${id}`;
  }

  /** In an image store nothing is made, not even a mount point. */
  override mergedDir(id: string): string {
    const store = this.storeOf(id);
    if (store === undefined) return super.mergedDir(id);
    return `${this.mountRoot}/${statat(AT_FDCWD, `${store}/${id}`).fileKey.replaceAll(":", "-")}`;
  }

  emptyDir(id: string): string {
    return `${this.dir(id)}/empty`;
  }

  /** The layer's own older contents, the newest first. */
  olderDiffs(id: string): string[] {
    return olderDiffsIn(this.dir(id));
  }

  override nativeDiffRefusal(id: string): string | undefined {
    return this.olderDiffs(id).length === 0 ? undefined : "its files were given to other ids since";
  }

  override lowerDirs(id: string): string[] {
    return this.lowers(id).flatMap((lower) => {
      const { home, layer } = this.resolve(lower, id);
      return [`${home}/${layer}/diff`, ...olderDiffsIn(`${home}/${layer}`)];
    });
  }

  override mountLowers(id: string): string[] {
    const lowers = this.lowers(id).flatMap((lower) => {
      const { home, layer } = this.resolve(lower, id);
      const older = olderDiffsIn(`${home}/${layer}`);
      for (const path of [`${home}/${layer}/diff`, ...older]) requireNoLink(id, path);
      return [`${home}/${lower}`, ...older];
    });
    if (lowers.length > 0) { for (const home of [this.home, ...this.stores]) requireNoLink(id, `${home}/${LINK_DIR}`); }
    const own = this.olderDiffs(id);
    for (const path of own) requireNoLink(id, path);
    return [...own, ...lowers];
  }

  protected override resolve(lower: string, id: string): { home: string; layer: string } {
    const found = this.#find(lower, id);
    if (found !== undefined) return found;
    this.#makeLinksAgain(lower);
    const layer = readShortName(this.home, lower, id);
    if (layer === undefined) throw shortNameMissing(this.home, lower, id);
    return { home: this.home, layer };
  }

  #find(lower: string, id: string): { home: string; layer: string } | undefined {
    for (const home of [this.home, ...this.stores]) {
      const layer = readShortName(home, lower, id);
      if (layer !== undefined) return { home, layer };
    }
    return undefined;
  }

  /** A machine that lost its power may have lost short names: the layers' link files still tell them. */
  #makeLinksAgain(lower: string): void {
    this.logger.warn(`${this.home}/${lower} is missing: making short names again from the layers' link files`);
    tryMkdirat(AT_FDCWD, `${this.home}/${LINK_DIR}`, LINK_DIR_MODE);
    // Through a link they would be made out of the store.
    if (!isDirectory(`${this.home}/${LINK_DIR}`)) return;
    using home = new Fd(openat(AT_FDCWD, this.home, O_RDONLY | O_DIRECTORY));
    for (const id of layersIn(this.home)) {
      const link = `${LINK_DIR}/${readStoreFile(home.fd, `${id}/${LINK}`).text?.trim() ?? ""}`;
      if (!LINK_REGEXP.test(link)) continue;
      try {
        symlinkat(`../${id}/diff`, AT_FDCWD, `${this.home}/${link}`);
      } catch (error) {
        if (!isErrno(error, "EEXIST", "ENOENT", "EROFS", "EACCES")) throw error;
      }
    }
  }

  override layerIds(): string[] {
    return [...new Set([this.home, ...this.stores].flatMap(layersIn))].sort();
  }

  override missingDirectory(id: string): string | undefined {
    const work = this.storeOf(id) === undefined ? [this.workDir(id)] : [];
    return [this.diffDir(id), ...work, ...this.mountLowers(id)].find((path) => !existsat(AT_FDCWD, `${path}/.`));
  }
}

function olderDiffsIn(layerDir: string): string[] {
  const older: string[] = [];
  for (let n = 1; existsat(AT_FDCWD, `${layerDir}/diff${n}`); n++) older.push(`${layerDir}/diff${n}`);
  return older;
}

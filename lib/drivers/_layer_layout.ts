// SPDX-License-Identifier: Apache-2.0

/**
 * How layers with short names lie on disk, byte for byte as Docker's `overlay2` does it. containers/storage began with
 * the same; what it added is in _containers_layout.ts.
 *
 * ```
 * HOME/l/<26 of A-Z2-7>   symbolic link to ../<id>/diff: a short name, so that many fit one mount
 * HOME/<id>/diff/         the layer's content, the upper directory of its mount
 * HOME/<id>/link          the layer's name in l/
 * HOME/<id>/lower         l/AAA:l/BBB, the layers below, uppermost first; not there for a base layer
 * HOME/<id>/work/         the kernel's scratch directory; not there for a base layer of overlay2
 * HOME/<id>/merged/       the mount point, while the layer is mounted
 * HOME/<id>/committed     overlay2: empty; another layer lies on this one, which is mounted read-only from then on
 * ```
 *
 * Beside their names there is one of ours: `HOME/<id>/.lamina-applying`, content that is being unpacked.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, existsat, readlinkat, symlinkat } from "../../ffi/file.ts";
import { isDirectory, isNoDirectory, Stat, tryStatx } from "../../ffi/stat.ts";
import { isStorageError, StorageError } from "../errors.ts";
import { isLayerId } from "../layer_id.ts";
import type { UpperDirs } from "../mount/overlay.ts";
import { textOf } from "../util/text.ts";
import { randomId } from "../util/random_id.ts";
import { idsIn } from "./_layer_ids.ts";
import { readLayerFile } from "./_store_file.ts";

/** A layer's file with its short name. */
export const LINK = "link";
/** Its file that says that another layer lies on it. */
export const COMMITTED = "committed";
/** The directory of short names. */
export const LINK_DIR = "l";
/** Characters of a short name: with `l/` and a colon, 128 of them fit a page of 4096 bytes. */
export const LINK_LENGTH = 26;
/** An entry of a `lower` file. */
export const LINK_REGEXP = /^l\/[A-Z2-7]+$/;
/** A `lower` file. */
const LOWER_REGEXP = /^l\/[A-Z2-7]+(?::l\/[A-Z2-7]+)*$/;
const LINK_ATTEMPTS = 10;
/** A short name takes some hundred bytes of memory. */
const MOST_SEEN = 10_000;

/** Reads and names the files of one home. */
export class LayerLayout {
  /** Short names that were seen to lead to a layer of this home. */
  readonly #seen = new Set<string>();

  constructor(readonly home: string) {}

  dir(id: string): string {
    return `${this.home}/${id}`;
  }
  diffDir(id: string): string {
    return `${this.dir(id)}/diff`;
  }
  /** The layer's own files. */
  contentDir(id: string): string {
    return this.diffDir(id);
  }
  workDir(id: string): string {
    return `${this.dir(id)}/work`;
  }
  mergedDir(id: string): string {
    return `${this.dir(id)}/merged`;
  }
  /** Content being unpacked: becomes `diff` when it is whole. */
  applyingDir(id: string): string {
    return `${this.dir(id)}/.lamina-applying`;
  }
  lowerFile(id: string): string {
    return `${this.dir(id)}/lower`;
  }
  committedFile(id: string): string {
    return `${this.dir(id)}/${COMMITTED}`;
  }

  /** Whether there is a layer `id`. */
  exists(id: string): boolean {
    return isDirectory(this.dir(id));
  }

  /** Content is aside only while it is in the making, and where that was interrupted. */
  isHalfApplied(id: string): boolean {
    return existsat(AT_FDCWD, this.applyingDir(id));
  }

  /** Makes a short name for the layer's content, which need not be there yet. */
  makeLink(id: string): string {
    for (let attempt = 1;; attempt++) {
      const link = randomId(LINK_LENGTH);
      try {
        symlinkat(`../${id}/diff`, AT_FDCWD, `${this.home}/${LINK_DIR}/${link}`);
        return link;
      } catch (error) {
        if (!isErrno(error, "EEXIST") || attempt === LINK_ATTEMPTS) throw error;
      }
    }
  }

  /** The layer's short name, or undefined where its file is missing. */
  readLink(id: string): string | undefined {
    return readLayerFile(`${this.dir(id)}/${LINK}`);
  }

  /**
   * What the `lower` file of a child of `parent` holds.
   *
   * @throws {StorageError} `store_damaged`: the parent's link file is missing or empty, as after a power cut; an entry
   * `l/` made of it would stand for every layer.
   */
  lowersForChildOf(parent: string): string[] {
    const link = this.readLink(parent);
    if (link === undefined || !LINK_REGEXP.test(`${LINK_DIR}/${link}`)) {
      throw new StorageError(
        "store_damaged",
        `Cannot make a layer on "${parent}": ${this.dir(parent)}/link ${
          link === undefined ? "is missing" : link === "" ? "is empty" : "is not a short name"
        }`,
        {
          hint:
            `find the link in ${this.home}/${LINK_DIR} that leads to ../${parent}/diff, and write its name into that file`,
        },
      );
    }
    return [`${LINK_DIR}/${link}`, ...this.lowers(parent)];
  }

  /** The entries of the layer's `lower` file; none for a base layer. */
  lowers(id: string): string[] {
    const text = readLayerFile(this.lowerFile(id));
    if (text === undefined) return [];
    const lowers = text.split(":");
    if (LOWER_REGEXP.test(text)) return lowers;
    const wrong = lowers.find((lower) => !LINK_REGEXP.test(lower))!;
    throw new StorageError(
      "store_damaged",
      text === ""
        ? `Cannot use layer "${id}": ${this.lowerFile(id)} is empty`
        : `Cannot use layer "${id}": ${this.lowerFile(id)} names ${
          JSON.stringify(wrong.slice(0, 80))
        }, which is no layer`,
    );
  }

  /** Whether any layers lie below it. */
  hasLowers(id: string): boolean {
    return existsat(AT_FDCWD, this.lowerFile(id));
  }

  /** The content directories of the layers below `id`, uppermost first. */
  lowerDirs(id: string): string[] {
    return this.lowers(id).map((lower) => {
      const { home, layer } = this.resolve(lower, id);
      return `${home}/${layer}/diff`;
    });
  }

  /** Why the layer's own directory does not tell all that it changed; undefined if it does. */
  nativeDiffRefusal(_id: string): string | undefined {
    return undefined;
  }

  /**
   * The layer's own directories, for a mount. Whether they are there is the kernel's to find out.
   *
   * @throws {StorageError} `store_damaged`: one is a symbolic link, or the like.
   */
  ownDirs(id: string): UpperDirs {
    const [upperDir, workDir] = [this.diffDir(id), this.workDir(id)];
    requireNoLink(id, upperDir);
    requireNoLink(id, workDir);
    return { upperDir, workDir };
  }

  /**
   * What {@linkcode LayerLayout.lowerDirs} tells, by the shortest names there are, for a mount. Whether they are there is the
   * kernel's to find out.
   *
   * @throws {StorageError} `store_damaged`: one leads out of the home.
   */
  mountLowers(id: string): string[] {
    const lowers = this.lowers(id);
    const unseen = lowers.filter((lower) => !this.#seen.has(lower));
    if (unseen.length > 0) this.#requireInside(unseen, id);
    return lowers.map((lower) => `${this.home}/${lower}`);
  }

  /** What a store holds when it comes from elsewhere is looked at once: later only who may do anything changes it. */
  #requireInside(lowers: readonly string[], id: string): void {
    requireNoLink(id, `${this.home}/${LINK_DIR}`);
    if (this.#seen.size > MOST_SEEN) this.#seen.clear();
    for (const lower of lowers) {
      const layer = readShortName(this.home, lower, id);
      if (layer === undefined) continue;
      requireNoLink(id, this.dir(layer));
      requireNoLink(id, this.diffDir(layer));
      this.#seen.add(lower);
    }
  }

  /** The directories that are stacked to show the layer, uppermost first. */
  treeDirs(id: string): string[] {
    return [this.diffDir(id), ...this.mountLowers(id)];
  }

  /** How many layers lie below `id`. */
  depthOf(id: string): number {
    return this.lowers(id).length;
  }

  /** The layer right below `id`. */
  parentOf(id: string): string | undefined {
    const lower = this.lowers(id)[0];
    return lower === undefined ? undefined : this.resolve(lower, id).layer;
  }

  /**
   * Where a short name leads.
   *
   * @param id The layer whose lower layer that is.
   * @throws {StorageError} `store_damaged`.
   */
  protected resolve(lower: string, id: string): { home: string; layer: string } {
    const layer = readShortName(this.home, lower, id);
    if (layer === undefined) throw shortNameMissing(this.home, lower, id);
    return { home: this.home, layer };
  }

  /** The ids of all layers, sorted. */
  layerIds(): string[] {
    return layersIn(this.home).sort();
  }

  /** The layer's short name as `lower` files spell it; undefined where its own file does not tell it. */
  shortName(id: string): string | undefined {
    const link = `${LINK_DIR}/${readIfWhole(`${this.dir(id)}/${LINK}`) ?? ""}`;
    return LINK_REGEXP.test(link) ? link : undefined;
  }

  /** What the layer's `lower` file begins with; undefined where it does not tell. */
  firstLower(id: string): string | undefined {
    return readIfWhole(this.lowerFile(id))?.split(":", 1)[0];
  }

  /** A layer whose parent is `id`, if there is any. */
  findChildOf(id: string): string | undefined {
    // A damaged link file must not make orphans: then each lower layer is followed to where it leads.
    const link = this.shortName(id);
    const isLink = link !== undefined;
    return this.layerIds().find((other) => {
      const first = this.firstLower(other);
      if (first === undefined) return false;
      return isLink ? first === link : this.#leadsTo(first, id);
    });
  }

  #leadsTo(lower: string, id: string): boolean {
    try {
      return LINK_REGEXP.test(lower) && this.resolve(lower, id).layer === id;
    } catch (error) {
      if (isStorageError(error, "store_damaged")) return false;
      throw error;
    }
  }

  /** The first directory that a mount of the layer needs and that is not there. */
  missingDirectory(id: string): string | undefined {
    const lowers = this.mountLowers(id);
    const own = lowers.length === 0 ? [this.diffDir(id)] : [this.diffDir(id), this.workDir(id)];
    const stat = new Stat();
    return [...own, ...lowers].find((path) => tryStatx(AT_FDCWD, `${path}/.`, 0, stat) !== 0);
  }
}

/** A file that cannot be read must not keep its layer, and others, from being removed. */
function readIfWhole(path: string): string | undefined {
  try {
    return readLayerFile(path);
  } catch (error) {
    if (isStorageError(error, "store_damaged")) return undefined;
    throw error;
  }
}

/**
 * Makes sure that a mount of the layer `id` stays in the store at `path`: the kernel would follow a symbolic link.
 *
 * @throws {StorageError} `store_damaged`.
 */
export function requireNoLink(id: string, path: string): void {
  if (!isNoDirectory(path)) return;
  throw new StorageError("store_damaged", `Cannot use layer "${id}": ${path} is no directory`, {
    hint: "see what else is wrong: lamina check",
  });
}

/** The layer that the short name `lower` in `home` leads to; undefined if there is no such name. */
export function readShortName(home: string, lower: string, id: string): string | undefined {
  const damaged = (reason: string, cause?: unknown): StorageError =>
    new StorageError("store_damaged", `Cannot use layer "${id}": its lower layer ${home}/${lower} ${reason}`, {
      cause,
    });
  let target: string;
  try {
    target = textOf(readlinkat(AT_FDCWD, `${home}/${lower}`));
  } catch (error) {
    // Without a directory of short names there is none.
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    if (isErrno(error, "EINVAL")) throw damaged("is not a symbolic link", error);
    throw error;
  }
  const match = /^\.\.\/([^/]+)\/diff$/.exec(target);
  if (match === null || !isLayerId(match[1]!)) throw damaged(`leads to ${JSON.stringify(target)}, not to a layer`);
  return match[1]!;
}

/** The error for a short name that no longer is. */
export function shortNameMissing(home: string, lower: string, id: string): StorageError {
  return new StorageError("store_damaged", `Cannot use layer "${id}": its lower layer ${home}/${lower} is missing`, {
    hint: `find the layer whose link file holds ${
      lower.slice(LINK_DIR.length + 1)
    }: ln -s ../LAYER/diff ${home}/${lower}`,
  });
}

/** The ids of the layers in `home`. Directories without content or link are something else's. */
export function layersIn(home: string): string[] {
  return idsIn(home).filter((id) =>
    existsat(AT_FDCWD, `${home}/${id}/diff`) || existsat(AT_FDCWD, `${home}/${id}/link`)
  );
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What `check` sees of a home whose layers have short names, beside what any home has: the files `link` and `lower` of
 * each layer, and the links in `l`. What these mean is in _layer_layout.ts.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat, readlinkat, symlinkat } from "../../ffi/file.ts";
import { isLayerId } from "../layer_id.ts";
import { replaceFile } from "../util/atomic_write.ts";
import { bytesOfText, type ByteString, CName } from "../util/byte_string.ts";
import { textOf } from "../util/text.ts";
import { type HomeView, viewDirectory, viewHome } from "./_home_view.ts";
import { LINK_DIR, LINK_REGEXP } from "./_layer_layout.ts";
import { leftoversIn } from "./_leftovers.ts";
import { moveToLostFound } from "./_lost_found.ts";
import { isSameFile, MISSING, readStoreFile, type StoreFile } from "./_store_file.ts";

/** The files of a layer that tell where it stands. */
export interface ShortNameFiles {
  readonly link: StoreFile;
  readonly lower: StoreFile;
}

/** Where something in `l` leads: to the layer `id`, whether or not there is one; or why it is no short name. */
export type NameTarget =
  | { readonly id: string; readonly fault?: undefined }
  | { readonly id?: undefined; readonly fault: string };

/** A home whose layers have short names. */
export interface ShortNameView extends HomeView<ShortNameFiles> {
  /** What is in `l`; undefined where that is no directory. */
  readonly names: ReadonlyMap<ByteString, NameTarget> | undefined;
  /** Short names of layers that are being made; undefined while one of them has not told its own. */
  readonly namesToCome: ReadonlySet<string> | undefined;
}

/** Looks at `home`. */
export async function viewShortNames(home: string, signal: AbortSignal | undefined): Promise<ShortNameView> {
  using homeFd = new Fd(openat(AT_FDCWD, home, O_RDONLY | O_DIRECTORY));
  const names = readNames(homeFd.fd);
  const view = await viewHome(homeFd.fd, ({ names }, fd) => {
    if (!names.has("diff") && !names.has("link")) return undefined;
    return { link: readStoreFile(fd, "link"), lower: names.has("lower") ? readStoreFile(fd, "lower") : MISSING };
  }, signal);
  return { ...view, names, namesToCome: readNamesToCome(home, homeFd.fd, view.home.names) };
}

function readNames(homeFd: number): ReadonlyMap<ByteString, NameTarget> | undefined {
  return viewDirectory(homeFd, LINK_DIR, ({ names }, fd) => {
    const leaf = new CName();
    const targets = [...names.keys()].sort().map((name) => [name, readTarget(fd, name, leaf.fill(name))] as const);
    return new Map(targets.filter((target): target is [ByteString, NameTarget] => target[1] !== undefined));
  });
}

function readTarget(dirfd: number, name: ByteString, leaf: Uint8Array): NameTarget | undefined {
  let target: string;
  try {
    target = textOf(readlinkat(dirfd, leaf));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    if (isErrno(error, "EINVAL")) return { fault: "is no symbolic link" };
    throw error;
  }
  const id = /^\.\.\/([^/]+)\/diff$/.exec(target)?.[1];
  if (id === undefined || !isLayerId(id)) return { fault: `leads to ${JSON.stringify(target)}, not to a layer` };
  return isShortName(name) ? { id } : { fault: "is not called as short names are" };
}

/** Whether `name` can be a short name. */
export function isShortName(name: string): boolean {
  return LINK_REGEXP.test(`${LINK_DIR}/${name}`);
}

/** A layer that is being made has its name in `l` before it is there itself. */
function readNamesToCome(
  home: string,
  homeFd: number,
  names: ReadonlyMap<ByteString, boolean>,
): ReadonlySet<string> | undefined {
  const leftOver = new Set(leftoversIn(home).map(bytesOfText));
  const toCome = new Set<string>();
  for (const name of names.keys()) {
    if (!/^\.lamina-(create|remap)-[A-Z2-7]+$/.test(name) || leftOver.has(name)) continue;
    const { text } = readStoreFile(homeFd, `${name}/link`);
    if (text === undefined) return undefined;
    toCome.add(text);
  }
  return toCome;
}

/** Changes files of one home, unless somebody else did so since they were seen. */
export class ShortNameRepair {
  constructor(readonly home: string) {}

  /** Writes `text` into the file `name` of the layer `id`; what it held before, if anything, goes to lost+found. */
  replace(id: string, name: "link" | "lower", seen: StoreFile, text: string): boolean {
    using layer = new Fd(openat(AT_FDCWD, `${this.home}/${id}`, O_RDONLY | O_DIRECTORY));
    if (!isSameFile(readStoreFile(layer.fd, name), seen)) return false;
    if (seen !== MISSING && seen.fault !== MISSING.fault && seen.text !== "") moveToLostFound(this.home, id, name);
    replaceFile(`${this.home}/${id}/${name}`, text, FILE_MODE);
    return true;
  }

  /** Has the short name `name` lead to the layer `id`. */
  makeName(name: string, id: string): boolean {
    try {
      symlinkat(`../${id}/diff`, AT_FDCWD, `${this.home}/${LINK_DIR}/${name}`);
      return true;
    } catch (error) {
      if (isErrno(error, "EEXIST")) return false;
      throw error;
    }
  }

  /** Moves what is called `name` in `l` to lost+found, if it is still what was seen. */
  dropName(name: ByteString, seen: NameTarget): boolean {
    using homeFd = new Fd(openat(AT_FDCWD, this.home, O_RDONLY | O_DIRECTORY));
    const now = readNames(homeFd.fd)?.get(name);
    if (now === undefined || now.id !== seen.id || now.fault !== seen.fault) return false;
    moveToLostFound(this.home, LINK_DIR, name);
    return true;
  }
}

const FILE_MODE = 0o644;

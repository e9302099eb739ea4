// SPDX-License-Identifier: Apache-2.0

/**
 * What `check` sees of a home whose layers have short names, beside what any home has: the files `link` and `lower` of
 * each layer, and the links in `l`. What these mean is in _layer_layout.ts.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, existsat, Fd, O_DIRECTORY, O_RDONLY, openat, readlinkat, symlinkat } from "../../ffi/file.ts";
import { isLayerId } from "../layer_id.ts";
import { replaceFile } from "../util/atomic_write.ts";
import { bytesOfText, type ByteString, CName } from "../util/byte_string.ts";
import { textOf } from "../util/text.ts";
import { type HomeSurvey, surveyDirectory, surveyHome } from "./_home_survey.ts";
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
export interface ShortNameSurvey extends HomeSurvey<ShortNameFiles> {
  /** What is in `l`; undefined where that is no directory. */
  readonly names: ReadonlyMap<ByteString, NameTarget> | undefined;
  /** Short names of layers that are being made or removed; undefined while one of them has not told its own. */
  readonly namesInUse: ReadonlySet<string> | undefined;
}

/** Looks at `home`. */
export async function surveyShortNames(home: string, signal: AbortSignal | undefined): Promise<ShortNameSurvey> {
  using homeFd = new Fd(openat(AT_FDCWD, home, O_RDONLY | O_DIRECTORY));
  // In this order: a layer that is being made has its name before, one that is being removed has it a moment longer.
  const names = readNames(homeFd.fd);
  const namesInUse = readNamesInUse(home, homeFd.fd);
  const survey = await surveyHome(homeFd.fd, ({ names }, fd) => {
    if (!names.has("diff") && !names.has("link")) return undefined;
    return { link: readStoreFile(fd, "link"), lower: names.has("lower") ? readStoreFile(fd, "lower") : MISSING };
  }, signal);
  return { ...survey, names, namesInUse };
}

function readNames(homeFd: number): ReadonlyMap<ByteString, NameTarget> | undefined {
  return surveyDirectory(homeFd, LINK_DIR, ({ names }, fd) => {
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

/** Short names of layers that are being made or removed, by the directories that they have meanwhile. */
function readNamesInUse(home: string, homeFd: number): ReadonlySet<string> | undefined {
  const leftOver = new Set(leftoversIn(home).map(bytesOfText));
  const inUse = new Set<string>();
  const entries = surveyDirectory(homeFd, ".", ({ names }) => [...names.keys()]) ?? [];
  for (const entry of entries) {
    const isRemoved = REMOVED_REGEXP.test(entry);
    if (!isRemoved && (!IN_THE_MAKING_REGEXP.test(entry) || leftOver.has(entry))) continue;
    const { text } = readStoreFile(homeFd, `${entry}/link`);
    // A file has its name a moment before it has its content.
    if (text !== undefined && isShortName(text)) inUse.add(text);
    else if (!isRemoved) return undefined;
  }
  return inUse;
}

const IN_THE_MAKING_REGEXP = /^\.lamina-(create|remap)-[A-Z2-7]+$/;
const REMOVED_REGEXP = /^\.lamina-remove-[A-Z2-7]+$/;

/** Asked in the order in which things come and go: see {@linkcode surveyShortNames}. */
function isDangling(home: string, homeFd: number, name: ByteString, { id }: NameTarget): boolean {
  const inUse = readNamesInUse(home, homeFd);
  return inUse !== undefined && !inUse.has(name) && !existsat(homeFd, id!);
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

  /**
   * Moves what is called `name` in `l` to lost+found, if it is still what was seen.
   *
   * @param wasDangling What was seen is that it leads nowhere, and nobody is about to change that.
   */
  dropName(name: ByteString, seen: NameTarget, wasDangling = false): boolean {
    using homeFd = new Fd(openat(AT_FDCWD, this.home, O_RDONLY | O_DIRECTORY));
    const now = readNames(homeFd.fd)?.get(name);
    if (now === undefined || now.id !== seen.id || now.fault !== seen.fault) return false;
    if (wasDangling && !isDangling(this.home, homeFd.fd, name, now)) return false;
    moveToLostFound(this.home, LINK_DIR, name);
    return true;
  }
}

const FILE_MODE = 0o644;

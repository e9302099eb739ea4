// SPDX-License-Identifier: Apache-2.0

/**
 * A home as `check` sees it: what lies in it and in the directories of its layers, at one moment. Nothing is believed:
 * names are bytes, links are not followed, and each file is read as _store_file.ts does.
 *
 * @module
 */

import { DT_DIR, DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { ERRNO, failure, isErrno } from "../../ffi/errno.ts";
import { Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, tryOpenat } from "../../ffi/file.ts";
import { fstat, lstatat, Stat } from "../../ffi/stat.ts";
import { isLayerId } from "../layer_id.ts";
import { type ByteString, byteString, CName } from "../util/byte_string.ts";

const FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/** A directory as it was found. */
export interface SurveyedDirectory {
  /** Its names, and whether each is a directory itself. */
  readonly names: ReadonlyMap<ByteString, boolean>;
  readonly uid: number;
  /** Permission bits. */
  readonly mode: number;
}

/** The directory `path` below `dirfd` as `read` sees it while it is open; undefined if there is no directory, or no more. */
export function surveyDirectory<T>(
  dirfd: number,
  path: string | Uint8Array<ArrayBuffer>,
  read: (survey: SurveyedDirectory, fd: number) => T,
): T | undefined {
  try {
    return surveyOpened(dirfd, path, read);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function surveyOpened<T>(
  dirfd: number,
  path: string | Uint8Array<ArrayBuffer>,
  read: (survey: SurveyedDirectory, fd: number) => T,
): T | undefined {
  const fd = tryOpenat(dirfd, path, FLAGS);
  if (fd === -ERRNO.ENOENT || fd === -ERRNO.ENOTDIR || fd === -ERRNO.ELOOP) return undefined;
  if (fd < 0) throw failure(-fd, "openat", dirfd, path);
  using directory = new Fd(fd);
  const { uid, mode } = fstat(directory.fd);
  const names = new Map<ByteString, boolean>();
  const unknown: ByteString[] = [];
  readDirectory(directory.fd, (buffer, start, end, type) => {
    const name = byteString(buffer, start, end);
    names.set(name, type === DT_DIR);
    if (type === DT_UNKNOWN) unknown.push(name);
  });
  const leaf = new CName();
  const stat = new Stat();
  for (const name of unknown) names.set(name, lstatat(directory.fd, leaf.fill(name), stat).isDirectory);
  return read({ names, uid, mode: mode & 0o7777 }, directory.fd);
}

/** A home and its layers. `T` is what a format reads of a layer. */
export interface HomeSurvey<T> {
  readonly home: SurveyedDirectory;
  /** By their ids, sorted. */
  readonly layers: ReadonlyMap<string, SurveyedLayer<T>>;
}

/** A layer's directory. */
export interface SurveyedLayer<T> {
  readonly directory: SurveyedDirectory;
  readonly files: T;
}

/** How many layers are looked at before others get a turn. */
const LAYERS_A_TURN = 64;

/**
 * Looks at the home that is open at `homeFd`.
 *
 * @param readLayer What the format wants to know of a directory, which is open at `fd`; undefined if it is no layer.
 */
export async function surveyHome<T>(
  homeFd: number,
  readLayer: (directory: SurveyedDirectory, fd: number) => T | undefined,
  signal: AbortSignal | undefined,
): Promise<HomeSurvey<T>> {
  const home = surveyDirectory(homeFd, ".", (survey) => survey)!;
  const layers = new Map<string, SurveyedLayer<T>>();
  let count = 0;
  for (const name of [...home.names.keys()].sort()) {
    if (!home.names.get(name) || !isLayerId(name)) continue;
    if (++count % LAYERS_A_TURN === 0) await new Promise((resolve) => setTimeout(resolve));
    signal?.throwIfAborted();
    const layer = surveyDirectory(homeFd, name, (directory, fd) => {
      const files = readLayer(directory, fd);
      return files === undefined ? undefined : { directory, files };
    });
    if (layer !== undefined) layers.set(name, layer);
  }
  return { home, layers };
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The directory that a view is to be mounted on. It is opened once, links followed, and is that one from then on.
 *
 * @module
 */

import { ERRNO, failure, hex } from "../../ffi/errno.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_PATH, openat, tryOpenat } from "../../ffi/file.ts";
import { Stat, statat } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";
import { kernelPath, type MountPlace, placeOf } from "../mount/mount_place.ts";
import { absolutePath } from "../util/absolute_path.ts";

const FLAGS = O_PATH | O_DIRECTORY;

/** What a name that cannot be opened is, as the end of a sentence. */
const REASONS: ReadonlyMap<number, readonly [reason: string, hint: string]> = new Map([
  [ERRNO.ENOENT, ["there is no such directory", "make it first: mkdir -p"]],
  [ERRNO.ENOTDIR, ["it is no directory", "name a directory, best an empty one"]],
  [ERRNO.ELOOP, ["its symbolic links lead nowhere", "name the directory itself"]],
  [ERRNO.ENAMETOOLONG, ["the name is too long", "the kernel takes 255 bytes a name, and 4095 a path"]],
]);

/**
 * Opens the directory.
 *
 * @throws {StorageError} `invalid_argument`: there is none.
 */
export function openTarget(unsafePath: string): Fd {
  // For what it refuses: the kernel knows better than it what `..` after a link is.
  absolutePath(unsafePath);
  const fd = tryOpenat(AT_FDCWD, unsafePath, FLAGS);
  if (fd >= 0) return new Fd(fd);
  const [reason, hint] = REASONS.get(-fd) ?? [];
  if (reason === undefined) throw failure(-fd, "openat", AT_FDCWD, unsafePath, hex(FLAGS));
  throw refused(unsafePath, reason, hint!);
}

/** Where a name leads that may be mounted on; without a place where it leads nowhere any more. */
export function findTarget(unsafePath: string): { path: string; place?: MountPlace } {
  const absolute = absolutePath(unsafePath);
  const fd = tryOpenat(AT_FDCWD, unsafePath, FLAGS);
  if (fd < 0) return { path: absolute };
  using directory = new Fd(fd);
  const place = placeOf(directory.fd);
  return { path: place.path, place };
}

/**
 * Makes sure that a mount on `target` neither covers `directory` nor lies in it, by whatever names both are reached.
 *
 * @param what What `directory` is.
 * @throws {StorageError} `invalid_argument`.
 */
export function requireApart(target: Fd, directory: string, what: string): void {
  const path = kernelPath(target.fd);
  using other = new Fd(openat(AT_FDCWD, directory, FLAGS));
  if (isWithin(target, other)) {
    throw refused(path, `it lies in ${what}`, `name a directory outside of ${directory}`);
  }
  if (isWithin(other, target)) {
    throw refused(path, `it would cover ${what}`, `${directory} lies in it: name another directory`);
  }
}

/** Whether `inner` is `outer`, or below it. Steps are taken by the kernel, through mounts as well. */
function isWithin(inner: Fd, outer: Fd): boolean {
  const end = statat(outer.fd, ".");
  const here = new Stat();
  const depth = kernelPath(inner.fd).split("/").length;
  for (let steps = 0; steps <= depth; steps++) {
    if (statat(inner.fd, `${"../".repeat(steps)}.`, here).isSameFile(end)) return true;
  }
  return false;
}

/**
 * The name of the place, for the records.
 *
 * @throws {StorageError} `invalid_argument`: no text can name it.
 */
export function nameOfTarget(target: Fd): string {
  const path = kernelPath(target.fd);
  // What bytes become that are no UTF-8.
  if (!path.includes("\uFFFD")) return path;
  throw refused(path, "its name is not UTF-8", "name a directory whose path is UTF-8");
}

function refused(path: string, reason: string, hint: string): StorageError {
  return new StorageError("invalid_argument", `Cannot mount at ${path}: ${reason}`, { hint });
}

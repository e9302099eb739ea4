// SPDX-License-Identifier: Apache-2.0

/**
 * What interrupted calls left in a home. A layer that is being made, given to other ids or removed is locked all the while,
 * and so is a directory in which mounts are tried: what is not locked is nobody's.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, existsat, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import { sweepAside } from "../mount/mount_aside.ts";
import { PROBE_PREFIX } from "../mount/overlay_features.ts";
import { unmountBelow } from "../mount/unmount.ts";
import { isLocked } from "../util/directory_lock.ts";
import { textOf } from "../util/text.ts";
import type { DriverHome } from "./_driver_home.ts";

/** Names of work in progress. */
const IN_PROGRESS_REGEXP = /^\.lamina-(create|remap|new-probe)-/;
/** Who has one of these has had its lock from before. */
const LOCKED_REGEXP = /^\.lamina-(remove|probe)-/;

/** The others are made a moment before they are locked. */
const SETTLED_AFTER_MS = 10_000;

/**
 * The names of all that is left over in the directory `home`.
 *
 * @param now Milliseconds since 1970.
 */
export function leftoversIn(home: string, now: number = Date.now()): string[] {
  const names: string[] = [];
  try {
    using directory = new Fd(openat(AT_FDCWD, home, O_RDONLY | O_DIRECTORY));
    readDirectory(directory.fd, (buffer, start, end) => {
      const name = textOf(buffer.subarray(start, end));
      if (LOCKED_REGEXP.test(name) || IN_PROGRESS_REGEXP.test(name)) names.push(name);
    });
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  return names.filter((name) => {
    const path = `${home}/${name}`;
    return (LOCKED_REGEXP.test(name) || isSettled(path, now)) && !isLocked(path);
  }).sort();
}

/** Whether nobody has changed anything in the file or directory `path` for so long that who made it is through, or dead. */
export function isSettled(path: string, now: number = Date.now()): boolean {
  const stat = new Stat();
  if (tryStatx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, stat) !== 0) return false;
  // Also one from the future: a clock that was set back must not keep it for ever.
  return Math.abs(now - stat.mtimeSeconds * 1000) >= SETTLED_AFTER_MS;
}

/** Takes off what is mounted in the directory `path`, if it is one where something was tried. */
export function unmountProbe(path: string): void {
  if (path.slice(path.lastIndexOf("/") + 1).startsWith(PROBE_PREFIX)) unmountBelow(path);
}

/** Removes all that is left over, and returns the names. What cannot be removed is told to the log, and stays. */
export async function sweepLeftovers(home: DriverHome): Promise<string[]> {
  if (!existsat(AT_FDCWD, home.layout.home)) return [];
  // They hold on to what is to be removed.
  for (const place of sweepAside(home.asideDir)) home.logger.info(`unmounted ${place}, which an interrupted call left`);
  const swept: string[] = [];
  for (const directory of [home.layout.home, home.probeDir]) swept.push(...await sweepDirectory(home, directory));
  return swept;
}

async function sweepDirectory(home: DriverHome, directory: string): Promise<string[]> {
  const swept: string[] = [];
  for (const name of leftoversIn(directory)) {
    try {
      unmountProbe(`${directory}/${name}`);
      await home.runner.run("remove", { directory, name });
      swept.push(name);
      home.logger.info(`removed ${directory}/${name}, which an interrupted call left`);
    } catch (error) {
      home.logger.warn(`cannot remove ${directory}/${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return swept;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Mounts without a layer, mount points without a mount, and counts without either. What a count means is in
 * lib/mount/mount_count.ts.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, AT_REMOVEDIR, Fd, O_DIRECTORY, O_RDONLY, openat, tryUnlinkat } from "../../ffi/file.ts";
import { isDirectory } from "../../ffi/stat.ts";
import { findMountAt, mountPointsBelow } from "../mount/mount_holders.ts";
import { PROBE_PREFIX } from "../mount/overlay_features.ts";
import { mountsBelow } from "../mount/mountinfo.ts";
import { unmountLazily } from "../mount/unmount.ts";
import { textOf } from "../util/text.ts";
import type { DriverHome } from "./_driver_home.ts";
import { type HomeSurvey, surveyDirectory } from "./_home_survey.ts";
import { leftoversIn } from "./_leftovers.ts";
import { moveToLostFound } from "./_lost_found.ts";
import type { Problem } from "./_problem.ts";

const MERGED = "merged";
const OVERLAY_TYPE = "overlay";

/**
 * Finds what is wrong with mounts in `survey`, of `home`.
 *
 * @param keepsMountPoints Whether mount points stay when nothing is mounted.
 */
export function checkMounts<T>(home: DriverHome, survey: HomeSurvey<T>, keepsMountPoints: boolean): Problem[] {
  const counted = readCounts(home.countDir);
  const problems = checkStrayMounts(home, survey);
  let elsewhere: Set<string> | undefined;
  // A mount in another namespace is somebody's, and removing its mount point would take it down there.
  const isElsewhere = (id: string): boolean =>
    (elsewhere ??= mountPointsBelow(home.layout.home)).has(`${id}/${MERGED}`);
  for (const [id, { directory }] of survey.layers) {
    const isPlace = directory.names.get(MERGED);
    if (isPlace === undefined) continue;
    const state = isPlace ? home.mountState(id) : "none";
    if (state === "dead") problems.push(dead(home, id));
    else if (state === "none") {
      const found = checkMountPoint(home, id, isPlace, keepsMountPoints);
      if (found !== undefined && !isElsewhere(id)) problems.push(found);
    } else if (!counted.has(id)) problems.push(uncounted(home, id));
  }
  for (const name of counted) {
    const found = checkCount(home, survey, name);
    if (found !== undefined && (found.layer === undefined || !isElsewhere(found.layer))) problems.push(found);
  }
  return problems;
}

/** Whether the layer is mounted nowhere. */
function isUnmounted(home: DriverHome, id: string): boolean {
  const mergedDir = home.mountPoint(id);
  return home.mountState(id) === "none" &&
    (!isDirectory(mergedDir) || findMountAt(mergedDir) === undefined);
}

function dead(home: DriverHome, id: string): Problem {
  const path = home.mountPoint(id);
  return {
    code: "mount_dead",
    layer: id,
    path,
    problem: "is a mount whose program has died",
    action: "unmount it",
    async repair(): Promise<boolean> {
      if (home.mountState(id) !== "dead") return false;
      await home.mounts.unmount(id, path);
      return true;
    },
  };
}

function readCounts(countDir: string): Set<string> {
  const names = new Set<string>();
  try {
    using directory = new Fd(openat(AT_FDCWD, countDir, O_RDONLY | O_DIRECTORY));
    readDirectory(directory.fd, (buffer, start, end) => names.add(textOf(buffer.subarray(start, end))));
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  return names;
}

function checkStrayMounts<T>({ layout }: DriverHome, survey: HomeSurvey<T>): Problem[] {
  const prefix = `${layout.home}/`;
  const problems: Problem[] = [];
  for (const { mountPoint, fileSystemType } of mountsBelow(layout.home)) {
    const name = mountPoint.slice(prefix.length).split("/", 1)[0]!;
    // What is left over of a probe is told as a whole.
    const isInProgress = name.startsWith(PROBE_PREFIX) ||
      name.startsWith(".lamina-") && !leftoversIn(layout.home).includes(name);
    if (mountPoint === layout.home || survey.layers.has(name) || isInProgress) continue;
    const isOverlay = fileSystemType === OVERLAY_TYPE;
    problems.push({
      code: "mount_of_no_layer",
      path: mountPoint,
      problem: `is mounted (${fileSystemType}), and belongs to no layer`,
      action: isOverlay ? "unmount it" : "nothing: see whose it is, and unmount it",
      ...(isOverlay ? { repair: () => (unmountLazily(mountPoint), true) } : {}),
    });
  }
  return problems;
}

function checkMountPoint(
  home: DriverHome,
  id: string,
  isPlace: boolean,
  keepsMountPoints: boolean,
): Problem | undefined {
  const path = `${home.layout.home}/${id}/${MERGED}`;
  const common = { layer: id, path };
  const count = isPlace ? surveyDirectory(AT_FDCWD, path, ({ names }) => names.size) : undefined;
  // Who just unmounted the layer has removed it meanwhile.
  if (isPlace && count === undefined) return undefined;
  if (count === 0) {
    if (keepsMountPoints) return undefined;
    return {
      ...common,
      code: "mount_point_left",
      problem: "is there, and the layer is not mounted",
      action: "remove it: it is empty",
      repair: () => isUnmounted(home, id) && tryUnlinkat(AT_FDCWD, path, AT_REMOVEDIR) === 0,
    };
  }
  return {
    ...common,
    code: "mount_point_not_empty",
    problem: isPlace ? "is not empty, and the layer is not mounted: a mount would hide that" : "is no directory",
    action: "move it to lost+found",
    repair: () => isUnmounted(home, id) && moveToLostFound(home.layout.home, id, MERGED) !== "",
  };
}

function uncounted(home: DriverHome, id: string): Problem {
  return {
    code: "mount_uncounted",
    layer: id,
    path: home.mountPoint(id),
    problem: "is a mount that lamina did not count: another program's, or one of before",
    action: "nothing: it counts as one",
  };
}

/** A count, or what was to replace one. */
function checkCount<T>(home: DriverHome, survey: HomeSurvey<T>, name: string): Problem | undefined {
  const id = name.replace(/\.new$/, "");
  const isLayer = survey.layers.has(id) || home.layout.exists(id);
  if (isLayer && home.mountState(id) !== "none") return undefined;
  const path = `${home.countDir}/${name}`;
  return {
    code: "count_stale",
    ...(survey.layers.has(id) ? { layer: id } : {}),
    path,
    problem: isLayer ? "counts mounts of a layer that is not mounted" : "counts mounts of a layer that is not there",
    action: "remove it",
    repair: () => (!isLayer || isUnmounted(home, id)) && tryUnlinkat(AT_FDCWD, path) === 0,
  };
}

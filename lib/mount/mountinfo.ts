// SPDX-License-Identifier: Apache-2.0

/**
 * The mount table of this process: `/proc/self/mountinfo`, as proc(5) describes it.
 *
 * @module
 */

import { readTextFile } from "../util/read_file.ts";

/** One line of the table. */
export interface MountInfo {
  /** The mount's number, which may be given to another one when this one is gone. */
  id: number;
  /** Of the file system: `0:57`. */
  device: string;
  mountPoint: string;
  /** Which directory of the file system is shown: `/`, but for a bind mount, or a subvolume. */
  root: string;
  fileSystemType: string;
  /** Options of the mounted file system: for overlay `lowerdir=…` and the like. */
  superOptions: string;
}

/** The kernel writes space, tab, line feed and backslash in octal. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/** Parses the text of a mountinfo file. */
export function parseMountInfo(text: string): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    // A lone "-" ends a list of optional fields of any length.
    const separator = fields.indexOf("-", 6);
    if (separator === -1) continue;
    mounts.push({
      id: Number(fields[0]),
      device: fields[2]!,
      mountPoint: unescape(fields[4]!),
      root: unescape(fields[3]!),
      fileSystemType: fields[separator + 1]!,
      superOptions: unescape(fields[separator + 3] ?? ""),
    });
  }
  return mounts;
}

/** The mount table of this process as it is now, in the order in which mounts were made. */
export function readMountInfo(): MountInfo[] {
  return parseMountInfo(readTextFile("/proc/self/mountinfo"));
}

/** Every mount at or below `path`, the deepest first: the order in which they can be taken down. */
export function mountsBelow(path: string): MountInfo[] {
  const prefix = path.endsWith("/") ? path : `${path}/`;
  return readMountInfo()
    .filter(({ mountPoint }) => mountPoint === path || mountPoint.startsWith(prefix))
    // Of two on one place the later one is on top.
    .reverse()
    .sort((a, b) => b.mountPoint.length - a.mountPoint.length);
}

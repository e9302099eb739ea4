// SPDX-License-Identifier: Apache-2.0

/**
 * What is mounted, read from the kernel without lamina's own parser.
 *
 * @module
 */

/** The fifth field of a line of /proc/self/mountinfo, with blanks and backslashes given in octal. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/**
 * Mount points at or below `directory`, the last mounted first, so that unmounting in this order works.
 *
 * @param pid A process of another mount namespace.
 */
export function mountPointsBelow(directory: string, pid: number | "self" = "self"): string[] {
  return Deno.readTextFileSync(`/proc/${pid}/mountinfo`)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => unescape(line.split(" ")[4] ?? ""))
    .filter((mountPoint) => mountPoint === directory || mountPoint.startsWith(`${directory}/`))
    .sort((a, b) => b.split("/").length - a.split("/").length);
}

/** Whether something is mounted at `path`. */
export function isMountPoint(path: string): boolean {
  return mountPointsBelow(path).includes(path);
}

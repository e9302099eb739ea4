// SPDX-License-Identifier: Apache-2.0

/**
 * What tells that a directory holds a driver's layers, before anybody knows which driver's.
 *
 * @module
 */

import { idsIn } from "./_layer_ids.ts";

/**
 * Names of the homes of Docker's drivers but `overlay2`: their layers next to ours would mean that two programs believe to
 * own the root.
 */
export const OTHER_DRIVERS: readonly string[] = [
  "aufs",
  "btrfs",
  "devicemapper",
  "fuse-overlayfs",
  "overlay",
  "vfs",
  "zfs",
];

/** Whether there is a directory in `home` that can be a layer. */
export function hasLayers(home: string): boolean {
  return idsIn(home).length > 0;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Mounting an overlay whose lower directories are shown under other ids: see id_mapped_lowers.ts. Overlayfs takes them since
 * Linux 5.19, and since Linux 6.15 without that they are attached anywhere. Which it is shows in the kernel's answer.
 *
 * @module
 */

import { isErrno, SyscallError } from "../../ffi/errno.ts";
import { isStorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import { IdMappedLowers, notSupported, requireHostIds } from "./id_mapped_lowers.ts";
import { mountFailed } from "./mount_explanation.ts";
import { parseMountInfo } from "./mountinfo.ts";
import { type MountApi, mountOverlay } from "./overlay_mount.ts";
import type { OverlayMount } from "./overlay.ts";
import { readTextFile } from "../util/read_file.ts";
import { unmountLazily } from "./unmount.ts";

/** Set once the kernel has refused clones that are attached nowhere, and taken those that are. */
let wantsThemAttached = false;

/**
 * Mounts `overlay` at the directory `target`, its lower directories under the host's ids of `maps`.
 *
 * @param attachIn Where clones are attached while the mount is made, on kernels that want it.
 * @throws {StorageError} `not_supported`: the kernel or a file system cannot; `invalid_argument`: maps that the kernel does
 * not take, or an upper directory that belongs to nobody in them; `mount_failed`.
 */
export function mountIdMapped(
  overlay: OverlayMount,
  maps: IdMaps,
  target: string,
  api: MountApi,
  attachIn: string,
): void {
  try {
    if (overlay.upper !== undefined) requireHostIds(overlay.upper.upperDir, maps);
    using lowers = new IdMappedLowers(overlay, maps);
    if (!wantsThemAttached && mountsUnlessInvalid(lowers.overlay, target, api)) return;
    lowers.attach(attachIn);
    if (mountsUnlessInvalid(lowers.overlay, target, api)) wantsThemAttached = true;
    else refuse(overlay, target, api);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw mountFailed(error, overlay, target);
  }
}

function mountsUnlessInvalid(overlay: OverlayMount, target: string, api: MountApi): boolean {
  try {
    mountOverlay(overlay, target, api);
    return true;
  } catch (error) {
    if (isStorageError(error, "mount_failed") && isErrno(error.cause, "EINVAL")) return false;
    throw error;
  }
}

/** Says why the kernel does not take the overlay: the maps are to blame only if it does without them. */
function refuse(overlay: OverlayMount, target: string, api: MountApi): never {
  mountOverlay(overlay, target, api);
  unmountLazily(target);
  throw notSupported(
    "overlayfs of this kernel takes no id-mapped layers",
    "Linux 5.19 is the first that does; `lamina remap` changes the owners of a layer's files",
  );
}

/** Mounted from another directory (mount_from.ts), paths begin without a slash. */
const CLONE_REGEXP = /(?:^|,)lowerdir\+?=(?:[^,]*:)?\/?proc\/\d+\/fd\/\d+\/./;

/** Whether the overlay at `target` was mounted by {@linkcode mountIdMapped}. */
export function isIdMapped(target: string): boolean {
  const mounts = parseMountInfo(readTextFile("/proc/self/mountinfo")).filter(({ mountPoint }) => mountPoint === target);
  return CLONE_REGEXP.test(mounts.at(-1)?.superOptions ?? "");
}

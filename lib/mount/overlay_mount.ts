// SPDX-License-Identifier: Apache-2.0

/**
 * Mounting an overlay. There are three ways:
 *
 * - `new`: fsopen(2), a call a layer; see mount_new.ts.
 * - `classic`: mount(2) with absolute paths, as many as fit a page; see mount_classic.ts.
 * - `from`: mount(2) with paths relative to where the layers lie, which are shorter; see mount_from.ts.
 *
 * The newest is tried first; that the kernel lacks it shows in its answer.
 *
 * @module
 */

import { SyscallError } from "../../ffi/errno.ts";
import { StorageError } from "../errors.ts";
import { bytesTooMany, classicMount, dataTooLong, mountClassic } from "./mount_classic.ts";
import { mountFailed } from "./mount_explanation.ts";
import { mountFrom } from "./mount_from.ts";
import { mountNew } from "./mount_new.ts";
import type { OverlayMount } from "./overlay.ts";

export type { OverlayMount } from "./overlay.ts";

/** Which way a mount is made. `auto`: `new` where the kernel has it, else `classic` where the paths fit, else `from`. */
export type MountApi = "auto" | "new" | "classic" | "from";

/** Set once the kernel has refused the newest way. */
let newApiIsMissing = false;

/**
 * Mounts `overlay` at the directory `target`.
 *
 * @throws {StorageError} `mount_failed` with what the kernel said; `not_supported` if `api` is `new` and the kernel lacks it.
 */
export function mountOverlay(overlay: OverlayMount, target: string, api: MountApi = "auto"): void {
  try {
    if (api === "from") return mountFrom(overlay, target);
    if (api !== "classic" && !newApiIsMissing && mountNew(overlay, target)) return;
    if (api === "new") throw newApiMissing();
    newApiIsMissing ||= api === "auto";
    const classic = classicMount(overlay);
    if (bytesTooMany(classic) === 0) return mountClassic(classic, target);
    if (api === "auto") return mountFrom(overlay, target);
    throw dataTooLong(
      classic,
      overlay,
      target,
      "Linux 6.8 or newer has no such limit; here, leave out --mount-api classic",
    );
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw mountFailed(error, overlay, target);
  }
}

function newApiMissing(): StorageError {
  return new StorageError(
    "not_supported",
    "Cannot mount by fsopen(2): this kernel lacks it, or overlayfs lacks lowerdir+",
    { hint: "Linux 6.8 or newer has both; leave out --mount-api new" },
  );
}

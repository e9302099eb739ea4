// SPDX-License-Identifier: Apache-2.0

/**
 * Mounting an overlay. There are three ways:
 *
 * - `new`: fsopen(2), a call a layer; see mount_new.ts.
 * - `classic`: mount(2) with absolute paths, as many as fit a page; see mount_classic.ts.
 * - `from`: mount(2) with paths relative to where the layers lie, which are shorter; see mount_from.ts.
 *
 * One call is the fastest, where the names of a few layers are all it takes. Else the newest way is tried first, and also
 * where mount(2) fails: to that the kernel says why. That it lacks the newest shows in its answer.
 *
 * @module
 */

import { SyscallError } from "../../ffi/errno.ts";
import { StorageError } from "../errors.ts";
import { bytesTooMany, classicMount, dataTooLong, isPlain, mountClassic } from "./mount_classic.ts";
import { mountFailed } from "./mount_explanation.ts";
import { mountFrom } from "./mount_from.ts";
import { mountNew } from "./mount_new.ts";
import type { OverlayMount } from "./overlay.ts";

export type { OverlayMount } from "./overlay.ts";

/** Which way a mount is made. `auto`: `classic` for a few plain paths, else `new` where the kernel has it, else what fits. */
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
    if (api === "auto" && mountPlain(overlay, target)) return;
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

/** The most lower layers of a plain mount: a page holds many more names of layers, and its string is made for nothing if not. */
const MOST_PLAIN = 32;

/** Mounts with one call where there is no doubt how the kernel reads its string; whether it did. */
function mountPlain(overlay: OverlayMount, target: string): boolean {
  if (overlay.lowerDirs.length > MOST_PLAIN) return false;
  const classic = classicMount(overlay);
  if (!isPlain(classic) || bytesTooMany(classic) > 0) return false;
  try {
    mountClassic(classic, target);
    return true;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return false;
  }
}

function newApiMissing(): StorageError {
  return new StorageError(
    "not_supported",
    "Cannot mount by fsopen(2): this kernel lacks it, or overlayfs lacks lowerdir+",
    { hint: "Linux 6.8 or newer has both; leave out --mount-api new" },
  );
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Who mounts layers: the kernel's own overlayfs, or a program such as fuse-overlayfs.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { mountByProgram, type MountState, programMountState, unmountProgram } from "./mount_program.ts";
import { type MountApi, mountOverlay, type OverlayMount } from "./overlay_mount.ts";
import { isOverlayMounted, unmountLazily } from "./unmount.ts";

/** Mounts layers, and knows its own mounts. */
export interface Mounter {
  /**
   * Mounts `overlay` at the directory `target`.
   *
   * @throws {StorageError} `mount_failed`, `not_supported`.
   */
  mount(overlay: OverlayMount, target: string): void | Promise<void>;

  /** What is at `target`, which need not be there. */
  state(target: string): MountState;

  /** Takes the mount at `target` down, whoever uses it; none is no error. */
  unmount(target: string): void | Promise<void>;
}

/** The kernel, whose mounts end with it alone. */
export class KernelMounter implements Mounter {
  constructor(readonly api: MountApi) {}

  mount(overlay: OverlayMount, target: string): void {
    if (overlay.idMaps !== undefined) {
      throw new StorageError("not_supported", `Cannot mount ${target} with other owners: overlayfs maps no ids`, {
        hint: "a mount program can: --storage-opt mount_program=/usr/bin/fuse-overlayfs",
      });
    }
    mountOverlay(overlay, target, this.api);
  }

  state(target: string): MountState {
    return isOverlayMounted(target) ? "mounted" : "none";
  }

  unmount(target: string): void {
    unmountLazily(target);
  }
}

/** A program, which serves each mount from the background. */
export class ProgramMounter implements Mounter {
  /** @param logger Told what the program says about mounts that it makes. */
  constructor(readonly program: string, readonly logger: Logger) {}

  async mount(overlay: OverlayMount, target: string): Promise<void> {
    const said = await mountByProgram(this.program, overlay, target);
    if (said !== "") this.logger.debug(`${this.program}, mounting ${target}: ${said}`);
  }

  state(target: string): MountState {
    return programMountState(target);
  }

  unmount(target: string): Promise<void> {
    return unmountProgram(target);
  }
}

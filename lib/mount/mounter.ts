// SPDX-License-Identifier: Apache-2.0

/**
 * Who mounts layers: the kernel's own overlayfs, or a program such as fuse-overlayfs.
 *
 * @module
 */

import type { Fd } from "../../ffi/file.ts";
import { mount, MS_BIND } from "../../ffi/mount.ts";
import { statfs } from "../../ffi/statfs.ts";
import type { Logger } from "../log.ts";
import { bindMount } from "./bind_mount.ts";
import { isIdMapped, mountIdMapped } from "./mount_id_mapped.ts";
import {
  flush,
  mountByProgram,
  type MountState,
  programMountState,
  unmountProgram,
  withStoredOwners,
} from "./mount_program.ts";
import { type OverlayFeatures, probeOverlay } from "./overlay_features.ts";
import { type MountApi, mountOverlay, type OverlayMount } from "./overlay_mount.ts";
import { makeRunDirectory } from "../util/run_file.ts";
import { isOverlayMounted, unmountLazily, unmountLazilyBeside } from "./unmount.ts";
import { isInUserNamespace } from "./user_namespace.ts";

/** Mounts layers, and knows its own mounts. */
export interface Mounter {
  /** Tells it from others: what one of them found out of a home says nothing of the others. */
  readonly name: string;

  /**
   * Finds out what mounts can do in `home`, which exists.
   *
   * @param asked Options that every mount will be given.
   * @throws {StorageError} See {@linkcode probeOverlay}.
   */
  probe(home: string, asked: readonly string[]): OverlayFeatures;

  /**
   * Mounts `overlay` at the directory `target`.
   *
   * @throws {StorageError} `mount_failed`, `not_supported`, `invalid_argument`.
   */
  mount(overlay: OverlayMount, target: string): void | Promise<void>;

  /**
   * Shows at `target` what `overlay` has, with all that was written to its mount at `mergedDir`, if there is one. Files
   * have the owners that they have on disk, or those that the overlay's id maps make of them.
   *
   * @throws As {@linkcode Mounter.mount}.
   */
  show(overlay: OverlayMount, mergedDir: string, target: string): void | Promise<void>;

  /**
   * Shows at the open directory `target` what is mounted or lies at `source`, with `options` of its own.
   *
   * @throws {SyscallError} See {@linkcode bindMount}.
   */
  bind(source: string, target: Fd, options: readonly string[]): void;

  /** Has everything in the layer's own directory that was written to its mount at `mergedDir`, if there is one. */
  settle(mergedDir: string): void;

  /** What is at `target`, which need not be there. */
  state(target: string): MountState;

  /** Takes the mount at `target` down, whoever uses it; none is no error. */
  unmount(target: string): void | Promise<void>;
}

/** The kernel, whose mounts end with it alone. */
export class KernelMounter implements Mounter {
  readonly name = "kernel";

  /**
   * @param runRoot Where mounts are made that are needed for a moment only.
   * @param goesOn Whether this thread has other things to do while mounts are taken down.
   */
  constructor(readonly api: MountApi, readonly runRoot: string, readonly goesOn = false) {}

  probe(home: string, asked: readonly string[]): OverlayFeatures {
    return probeOverlay(home, this.api, asked);
  }

  mount(overlay: OverlayMount, target: string): void {
    const { idMaps } = overlay;
    if (idMaps === undefined) return mountOverlay(overlay, target, this.api);
    makeRunDirectory(this.runRoot);
    mountIdMapped(overlay, idMaps, target, this.api, this.runRoot);
  }

  show(overlay: OverlayMount, mergedDir: string, target: string): void {
    const isSame = this.state(mergedDir) === "mounted" && isIdMapped(mergedDir) === (overlay.idMaps !== undefined);
    // Bound without what is mounted in it: a container's own mounts are not the layer's.
    if (isSame) mount(mergedDir, target, null, MS_BIND, null);
    else this.mount(overlay, target);
  }

  bind(source: string, target: Fd, options: readonly string[]): void {
    bindMount(source, target, options, this.api);
  }

  /** The kernel keeps a file's pages but once, whichever way it is read. */
  settle(): void {}

  state(target: string): MountState {
    return isOverlayMounted(target) ? "mounted" : "none";
  }

  unmount(target: string): void | Promise<void> {
    return this.goesOn ? unmountLazilyBeside(target) : unmountLazily(target);
  }
}

/** A program, which serves each mount from the background. */
export class ProgramMounter implements Mounter {
  readonly name: string;

  /** @param logger Told what the program says about mounts that it makes. */
  constructor(readonly program: string, readonly logger: Logger) {
    this.name = program;
  }

  /** Nothing is tried: all that matters is in what form the program keeps deletions and owners. */
  probe(home: string, asked: readonly string[]): OverlayFeatures {
    const keepsOwnersApart = asked.some((option) => option.startsWith("xattr_permissions="));
    return {
      backingFileSystem: statfs(home).name,
      mountOptions: [],
      userxattr: isInUserNamespace(),
      usingMetacopy: false,
      whiteouts: "files",
      nativeDiffRefusal: keepsOwnersApart ? `${this.program} keeps owners and modes in attributes` : undefined,
      mapsIds: true,
    };
  }

  async mount(overlay: OverlayMount, target: string): Promise<void> {
    const said = await mountByProgram(this.program, overlay, target);
    if (said !== "") this.logger.debug(`${this.program}, mounting ${target}: ${said}`);
  }

  async show(overlay: OverlayMount, mergedDir: string, target: string): Promise<void> {
    // Not bound: that mount may show other owners.
    this.settle(mergedDir);
    await this.mount(withStoredOwners(overlay), target);
  }

  bind(source: string, target: Fd, options: readonly string[]): void {
    bindMount(source, target, options);
  }

  settle(mergedDir: string): void {
    if (this.state(mergedDir) === "mounted") flush(mergedDir);
  }

  state(target: string): MountState {
    return programMountState(target);
  }

  unmount(target: string): Promise<void> {
    return unmountProgram(target);
  }
}

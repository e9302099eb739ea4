// SPDX-License-Identifier: Apache-2.0

/**
 * A home of containers/storage, which notes whether a mount program is needed for it: below one, a deleted name is a file
 * `.wh.NAME` that overlayfs would show, and show what was deleted as well.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { StorageError } from "../errors.ts";
import type { OverlayFeatures } from "../mount/overlay_features.ts";
import { replaceFile } from "../util/atomic_write.ts";
import { readTextFileIfExists } from "../util/read_file.ts";
import type { ContainersLayout } from "./_containers_layout.ts";
import type { ContentRules } from "./_content_rules.ts";
import type { HomeSettings } from "./_driver_home.ts";
import type { LayerFormat } from "./_layer_format.ts";
import { LayerHome } from "./_layer_home.ts";

/** `true` or `false`, for the programs of containers/storage as much as for us. */
const FLAG = ".has-mount-program";
const FLAG_MODE = 0o600;

/** What the methods of `containers-overlay` share. */
export class ContainersHome extends LayerHome {
  readonly #layout: ContainersLayout;
  #isChecked = false;

  constructor(
    settings: HomeSettings,
    format: LayerFormat,
    layout: ContainersLayout,
    kernelOptions: readonly string[],
    rules: ContentRules,
  ) {
    super(settings, format, layout, kernelOptions, rules);
    this.#layout = layout;
  }

  /** Nothing on disk tells it but the children themselves. */
  override isCommitted(id: string): boolean {
    return this.#layout.storeOf(id) !== undefined || this.findChildOf(id) !== undefined;
  }

  override prepare(): OverlayFeatures {
    const features = super.prepare();
    if (features.whiteouts === "files") noteProgram(this.layout.home);
    return features;
  }

  /** @throws {StorageError} Also `not_supported`: the layers need a mount program, and there is none. */
  override get features(): OverlayFeatures {
    const features = super.features;
    if (features.whiteouts === "devices" && !this.#isChecked) {
      for (const home of [this.#layout.home, ...this.#layout.stores]) requireNoProgram(home);
      this.#isChecked = true;
    }
    return features;
  }
}

function needsProgram(home: string): boolean {
  return readTextFileIfExists(`${home}/${FLAG}`)?.trim() === "true";
}

function noteProgram(home: string): void {
  if (needsProgram(home)) return;
  try {
    replaceFile(`${home}/${FLAG}`, "true", FLAG_MODE);
  } catch (error) {
    // Then no layer comes to it either.
    if (!isErrno(error, "EROFS")) throw error;
  }
}

function requireNoProgram(home: string): void {
  if (!needsProgram(home)) return;
  const flag = `${home}/${FLAG}`;
  throw new StorageError(
    "not_supported",
    `Cannot use the layers of ${home} without a mount program: ${flag} says that they need one`,
    {
      hint: "name it: --storage-opt mount_program=/usr/bin/fuse-overlayfs; " +
        `or, if no layer has files named .wh.…, remove ${flag}`,
    },
  );
}

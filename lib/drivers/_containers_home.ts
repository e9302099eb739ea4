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
import { LayerHome } from "./_layer_home.ts";

/** `true` or `false`, for the programs of containers/storage as much as for us. */
const FLAG = ".has-mount-program";
const FLAG_MODE = 0o600;

/** What the methods of `containers-overlay` share. */
export class ContainersHome extends LayerHome {
  #isChecked = false;

  override prepare(): OverlayFeatures {
    const features = super.prepare();
    if (features.whiteouts === "files") this.#noteProgram();
    return features;
  }

  /** @throws {StorageError} Also `not_supported`: the layers need a mount program, and there is none. */
  override get features(): OverlayFeatures {
    const features = super.features;
    if (features.whiteouts === "devices") this.#requireNoProgram();
    return features;
  }

  #noteProgram(): void {
    if (this.#readFlag() === "true") return;
    try {
      replaceFile(`${this.layout.home}/${FLAG}`, "true", FLAG_MODE);
    } catch (error) {
      // Then no layer comes to it either.
      if (!isErrno(error, "EROFS")) throw error;
    }
  }

  #requireNoProgram(): void {
    if (this.#isChecked) return;
    if (this.#readFlag() === "true") {
      throw new StorageError(
        "not_supported",
        `Cannot use the layers of ${this.layout.home} without a mount program: its file ${FLAG} says that they need one`,
        {
          hint:
            "name it: --storage-opt mount_program=/usr/bin/fuse-overlayfs; or, if no layer has files named .wh.…, " +
            `remove ${this.layout.home}/${FLAG}`,
        },
      );
    }
    this.#isChecked = true;
  }

  #readFlag(): string | undefined {
    return readTextFileIfExists(`${this.layout.home}/${FLAG}`)?.trim();
  }
}

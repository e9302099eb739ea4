// SPDX-License-Identifier: Apache-2.0

/**
 * The options of `overlay2`: those of all Docker versions.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { parseSize } from "../units.ts";
import { parseBoolean, splitOption } from "./_driver_options.ts";

/** Options of the driver as they are used. */
export interface Overlay2Options {
  /** Accepted for old configurations: the kernel is tried, not asked for its version. */
  overrideKernelCheck: boolean;
  /** Further options of every mount, as the kernel spells them. */
  mountOptions: string[];
  /** Limit on a read-write layer in bytes; 0 is none. */
  sizeBytes: number;
}

/**
 * Parses `KEY=VALUE` options; keys in any case.
 *
 * @throws {StorageError} `invalid_argument`: no `=`, an unknown key, a value that is none.
 */
export function parseOverlay2Options(options: readonly string[]): Overlay2Options {
  const parsed: Overlay2Options = { overrideKernelCheck: false, mountOptions: [], sizeBytes: 0 };
  for (const option of options) {
    const [key, value] = splitOption(option);
    switch (key) {
      case "overlay2.override_kernel_check":
        parsed.overrideKernelCheck = parseBoolean(key, value);
        break;
      case "overlay2.mountopt":
        parsed.mountOptions.push(...value.split(",").map((word) => word.trim()).filter((word) => word !== ""));
        break;
      case "overlay2.size":
        parsed.sizeBytes = parseSize(value);
        break;
      default:
        throw new StorageError("invalid_argument", `overlay2: unknown option ${key}`, {
          hint: "there are overlay2.size, overlay2.mountopt and overlay2.override_kernel_check",
        });
    }
  }
  return parsed;
}

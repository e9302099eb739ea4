// SPDX-License-Identifier: Apache-2.0

/**
 * The options of `overlay2`: those of all Docker versions.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { parseSize } from "../units.ts";
import { parseBoolean, quotaNotSupported, splitOption } from "./_driver_options.ts";
import type { HomeChecks } from "./_overlay2_checks.ts";

/** Options of the driver as they are used. */
export interface Overlay2Options extends HomeChecks {
  /** Further options of every mount, as the kernel spells them. */
  mountOptions: string[];
  /** Limit on a read-write layer in bytes; 0 is none. */
  sizeBytes: number;
}

/**
 * Parses `KEY=VALUE` options; keys in any case.
 *
 * @throws {StorageError} `invalid_argument`: no `=`, an unknown key, a value that is none; `not_supported`: a size.
 */
export function parseOverlay2Options(options: readonly string[]): Overlay2Options {
  const parsed: Overlay2Options = {
    checkBackingFs: false,
    checkKernel: false,
    overrideKernelCheck: false,
    privateHome: false,
    mountOptions: [],
    sizeBytes: 0,
  };
  for (const option of options) {
    const [key, value] = splitOption(option);
    switch (key) {
      case "overlay2.check_backing_fs":
        parsed.checkBackingFs = parseBoolean(key, value);
        break;
      case "overlay2.check_kernel":
        parsed.checkKernel = parseBoolean(key, value);
        break;
      case "overlay2.private_home":
        parsed.privateHome = parseBoolean(key, value);
        break;
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
          hint: "there are size, mountopt, private_home, check_backing_fs, check_kernel and override_kernel_check",
        });
    }
  }
  if (parsed.sizeBytes > 0) throw quotaNotSupported("overlay2.size");
  return parsed;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The options of `overlay2`: those of all Docker versions.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { parseMountOptions } from "../mount/mount_options.ts";
import { MOST_LOWER_DIRS } from "../mount/overlay.ts";
import { parseSize } from "../units.ts";
import { parseBoolean, splitOption } from "./_driver_options.ts";
import type { HomeChecks } from "./_overlay2_checks.ts";

/** Options of the driver as they are used. */
export interface Overlay2Options extends HomeChecks {
  /** Further options of every mount, as the kernel spells them. */
  mountOptions: string[];
  /** How many layers may lie below a layer; undefined is Docker's limit. */
  maxDepth: number | undefined;
  /** Limit on a read-write layer in bytes; 0 is none. */
  sizeBytes: number;
}

/**
 * Parses `KEY=VALUE` options; keys in any case.
 *
 * @throws {StorageError} `invalid_argument`: no `=`, an unknown key, a value that is none.
 */
export function parseOverlay2Options(options: readonly string[]): Overlay2Options {
  const parsed: Overlay2Options = {
    checkBackingFs: false,
    checkKernel: false,
    overrideKernelCheck: false,
    privateHome: false,
    mountOptions: [],
    maxDepth: undefined,
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
        parsed.mountOptions = parseMountOptions([...parsed.mountOptions, value]);
        break;
      case "overlay2.max_depth":
        parsed.maxDepth = parseDepth(value);
        break;
      case "overlay2.size":
        parsed.sizeBytes = parseSize(value);
        break;
      default:
        throw new StorageError("invalid_argument", `overlay2: unknown option ${key}`, {
          hint:
            "there are size, max_depth, mountopt, private_home, check_backing_fs, check_kernel and override_kernel_check",
        });
    }
  }
  return parsed;
}

function parseDepth(value: string): number {
  const depth = Number(value);
  if (/^\d+$/.test(value) && depth >= 1 && depth <= MOST_LOWER_DIRS) return depth;
  throw new StorageError("invalid_argument", `Cannot use "${value}" for the option overlay2.max_depth`, {
    hint: `write a number from 1 to ${MOST_LOWER_DIRS}: the kernel stacks no more`,
  });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The options of `overlay2`: those of all Docker versions, and those of a single layer.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { parseSize } from "../units.ts";
import type { HomeChecks } from "./_overlay2_checks.ts";

/** Options of the driver as they are used. */
export interface Overlay2Options extends HomeChecks {
  /** Further options of every mount, as the kernel spells them. */
  mountOptions: string[];
  /** Limit on a read-write layer in bytes; 0 is none. */
  sizeBytes: number;
}

const TRUE = new Set(["1", "t", "true"]);
const FALSE = new Set(["0", "f", "false"]);

function parseBoolean(key: string, value: string): boolean {
  const word = value.toLowerCase();
  if (TRUE.has(word)) return true;
  if (FALSE.has(word)) return false;
  throw new StorageError("invalid_argument", `Cannot use "${value}" for the option ${key}: write true or false`);
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
    const equals = option.indexOf("=");
    if (equals === -1) {
      throw new StorageError("invalid_argument", `Cannot read the storage option "${option}": write KEY=VALUE`);
    }
    const key = option.slice(0, equals).trim().toLowerCase();
    const value = option.slice(equals + 1).trim();
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

/** Checks the options of one layer: `size`, which is for layers that are written in. */
export function checkLayerOptions(options: Readonly<Record<string, string>> | undefined, isReadWrite: boolean): void {
  for (const [key, value] of Object.entries(options ?? {})) {
    if (key.toLowerCase() !== "size") {
      throw new StorageError("invalid_argument", `Unknown option ${key}`, { hint: "a layer has one option: size" });
    }
    const sizeBytes = parseSize(value);
    if (!isReadWrite) {
      throw new StorageError("not_supported", "The option size is only supported for read-write layers");
    }
    if (sizeBytes > 0) throw quotaNotSupported("size");
  }
}

function quotaNotSupported(option: string): StorageError {
  return new StorageError(
    "not_supported",
    `Cannot limit layers with the option ${option}: this version sets no project quotas`,
    {
      hint: "leave the option out, or give 0",
    },
  );
}

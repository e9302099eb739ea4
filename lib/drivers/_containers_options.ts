// SPDX-License-Identifier: Apache-2.0

/**
 * The options of containers/storage's `overlay`, as storage.conf and `--storage-opt` give them: `overlay.KEY`,
 * `overlay2.KEY`, `.KEY` or just `KEY`.
 *
 * @module
 */

import { AT_FDCWD } from "../../ffi/file.ts";
import { statat } from "../../ffi/stat.ts";
import { isErrno } from "../../ffi/errno.ts";
import { StorageError } from "../errors.ts";
import { parseMountOptions } from "../mount/mount_options.ts";
import { requireMountProgram } from "../mount/mount_program.ts";
import { absolutePath } from "../util/absolute_path.ts";
import { parseSize } from "../units.ts";
import { type ContentRules, PLAIN } from "./_content_rules.ts";
import { parseBoolean, splitOption } from "./_driver_options.ts";

/** Options of the driver as they are used. */
export interface ContainersOptions {
  /** Options of every mount that is not given others, as the kernel spells them. */
  mountOptions: string[];
  /** Roots of other stores whose layers may be used, and are never changed. */
  imageStores: string[];
  /** How owners and modes are kept. */
  rules: ContentRules;
  /** The program that mounts layers; undefined if the kernel does. */
  mountProgram: string | undefined;
  /** Limit on a read-write layer in bytes; 0 is none. */
  sizeBytes: number;
}

/** The directory of the driver in a root, also in an image store. */
const DIRECTORY = "overlay";
const PREFIX_REGEXP = /^(?:overlay\.|overlay2\.|\.)/;
const OCTAL_REGEXP = /^[0-7]{1,4}$/;
const NAMED_MASKS: Readonly<Record<string, number>> = { shared: 0o755, private: 0o700 };

/**
 * Parses the options.
 *
 * @throws {StorageError} `invalid_argument`: no `=`, an unknown key, a value that is none.
 */
export function parseContainersOptions(options: readonly string[]): ContainersOptions {
  const parsed: ContainersOptions = {
    mountOptions: [],
    imageStores: [],
    rules: PLAIN,
    mountProgram: undefined,
    sizeBytes: 0,
  };
  for (const option of options) {
    const [key, value] = splitOption(option);
    readOption(parsed, key.replace(PREFIX_REGEXP, ""), value, key);
  }
  return parsed;
}

function readOption(parsed: ContainersOptions, name: string, value: string, key: string): void {
  switch (name) {
    case "mountopt":
      parsed.mountOptions = parseMountOptions([value]);
      return;
    case "imagestore":
    case "additionalimagestore":
      parsed.imageStores.push(...value.split(",").filter((path) => path !== "").map((path) => parseStore(key, path)));
      return;
    case "size":
      parsed.sizeBytes = parseSize(value);
      return;
    case "mount_program":
      if (value !== "") requireMountProgram(value);
      parsed.mountProgram = value === "" ? undefined : value;
      return;
    case "ignore_chown_errors":
      parsed.rules = { ...parsed.rules, ignoreChownErrors: parseBoolean(key, value) };
      return;
    case "force_mask":
      parsed.rules = { ...parsed.rules, forceMask: parseMask(key, value) };
      return;
    // The home is never mounted over itself here, and the kernel is tried, not asked for its version.
    case "skip_mount_home":
    case "override_kernel_check":
      parseBoolean(key, value);
      return;
    default:
      throw new StorageError("invalid_argument", `containers-overlay: unknown option ${key}`, {
        hint: "there are mountopt, imagestore, size, skip_mount_home, override_kernel_check, mount_program, " +
          "ignore_chown_errors and force_mask, each with overlay. before it or without",
      });
  }
}

/** The home of the driver in the image store `path`. */
function parseStore(key: string, path: string): string {
  const refused = (reason: string, hint: string): StorageError =>
    new StorageError("invalid_argument", `Cannot use the image store "${path}" of the option ${key}: ${reason}`, {
      hint,
    });
  if (!path.startsWith("/")) throw refused("its path is not absolute", "write it from / on");
  const store = absolutePath(path);
  const hint = "name the root of a store, the directory that holds overlay/";
  try {
    if (!statat(AT_FDCWD, store).isDirectory) throw refused("it is not a directory", hint);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) throw refused("it is not there", hint);
    throw error;
  }
  return `${store}/${DIRECTORY}`;
}

function parseMask(key: string, value: string): number {
  if (Object.hasOwn(NAMED_MASKS, value)) return NAMED_MASKS[value]!;
  if (OCTAL_REGEXP.test(value)) return Number.parseInt(value, 8);
  throw new StorageError("invalid_argument", `Cannot use "${value}" for the option ${key}: it is no mode`, {
    hint: "write shared, private, or a mode in octal: 755",
  });
}

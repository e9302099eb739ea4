// SPDX-License-Identifier: Apache-2.0

/**
 * Mounting an overlay by mount(2), with all options in one string. The kernel reads one page of it and drops the rest
 * without a word, so the bytes are counted here.
 *
 * @module
 */

import { mount, MS_RDONLY } from "../../ffi/mount.ts";
import { getpagesize } from "../../ffi/process.ts";
import { StorageError } from "../errors.ts";
import { isLabel, MOUNT_FLAGS, splitOption } from "./mount_options.ts";
import type { OverlayMount } from "./overlay.ts";

/** What mount(2) is given. */
export interface ClassicMount {
  flags: number;
  data: string;
}

/** The arguments that mount `overlay`. */
export function classicMount(overlay: OverlayMount): ClassicMount {
  return { flags: flagsOf(overlay), data: overlayMountData(overlay) };
}

function flagsOf({ upper, options }: OverlayMount): number {
  const least = upper === undefined ? MS_RDONLY : 0;
  return options.reduce((bits, option) => bits | (MOUNT_FLAGS.get(option)?.flag ?? 0), least);
}

const DIVIDERS_REGEXP = /[\\:,]/;

/** What divides layers, options and escapes must not do so inside a path. */
function escapePath(path: string): string {
  return DIVIDERS_REGEXP.test(path) ? path.replace(/[\\:,]/g, "\\$&") : path;
}

/** A label has commas in it; security modules read quotes before overlayfs sees the string. */
function quoteLabel(option: string): string {
  if (!isLabel(option)) return option;
  const [key, value] = splitOption(option);
  return `${key}="${value}"`;
}

/** The one string of options that mount(2) takes. */
export function overlayMountData(overlay: OverlayMount): string {
  let data = "";
  for (const option of overlay.options) {
    if (!MOUNT_FLAGS.has(option)) data += `${quoteLabel(option)},`;
  }
  data += `lowerdir=${overlay.lowerDirs.map(escapePath).join(":")}`;
  if (overlay.upper === undefined) return data;
  return `${data},upperdir=${escapePath(overlay.upper.upperDir)},workdir=${escapePath(overlay.upper.workDir)}`;
}

/** Whether nothing in it is escaped or quoted, of which kernels have had different ideas. */
export function isPlain({ data }: ClassicMount): boolean {
  return !/[\\"]/.test(data);
}

/** How many bytes of `data` the kernel would not read. */
export function bytesTooMany({ data }: ClassicMount): number {
  if (data.length * MOST_BYTES_A_CHARACTER <= mostBytes()) return 0;
  return Math.max(0, new TextEncoder().encode(data).length - mostBytes());
}

/** In UTF-8. */
const MOST_BYTES_A_CHARACTER = 3;

/** What is left of a page when its closing NUL is taken off. */
function mostBytes(): number {
  return getpagesize() - 1;
}

/** The error for data that no page holds. */
export function dataTooLong(
  { data }: ClassicMount,
  { lowerDirs }: OverlayMount,
  target: string,
  hint: string,
): StorageError {
  const length = new TextEncoder().encode(data).length;
  return new StorageError(
    "mount_failed",
    `Cannot mount an overlay at ${target}: the names of its ${lowerDirs.length} lower layers take ${length} bytes, and mount(2) reads ${mostBytes()}`,
    { hint },
  );
}

/**
 * Mounts at `target`.
 *
 * @throws {SyscallError} See mount(2).
 */
export function mountClassic({ flags, data }: ClassicMount, target: string): void {
  mount("overlay", target, "overlay", flags, data);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * SELinux contexts of mounts, written as libselinux' users write them: `context="system_u:object_r:t:s0:c1,c2"`. The
 * quotes are for the commas between categories, which would otherwise divide mount options.
 *
 * @module
 */

import { isErrno } from "../ffi/errno.ts";
import { SELINUX_MAGIC, statfs } from "../ffi/statfs.ts";
import { StorageError } from "./errors.ts";

/** Which label of a mount is meant. See mount(8): `context` is that of every file in it. */
export type LabelKind = "context" | "fscontext" | "defcontext" | "rootcontext";

/** All of them. */
export const LABEL_KINDS: readonly LabelKind[] = ["context", "fscontext", "defcontext", "rootcontext"];

const SELINUX_DIR = "/sys/fs/selinux";
/** user:role:type, and on most systems a level that may have colons and commas in it. */
const LABEL_REGEXP = /^[^\s:"\\\p{Cc}]+:[^\s:"\\\p{Cc}]+:[^\s:"\\\p{Cc}]+(?::[^\s"\\\p{Cc}]+)?$/u;

/** Whether SELinux is at work. */
export function isSelinuxEnabled(directory: string = SELINUX_DIR): boolean {
  try {
    return statfs(directory).type === SELINUX_MAGIC;
  } catch (error) {
    if (isErrno(error)) return false;
    throw error;
  }
}

/**
 * The mount option that sets a label; "" for none.
 *
 * @throws {StorageError} `invalid_argument`: no `user:role:type[:level]`, or characters that no label has.
 */
export function formatLabel(label: string, kind: LabelKind = "context"): string {
  if (label === "") return "";
  if (!LABEL_REGEXP.test(label)) {
    throw new StorageError("invalid_argument", `Cannot use ${JSON.stringify(label)} as an SELinux context`, {
      hint: "write user:role:type:level, such as system_u:object_r:container_file_t:s0:c1,c2",
    });
  }
  return `${kind}="${label}"`;
}

/** `options`, a list as mount(8) takes it, with a label at its end. */
export function withLabel(options: string, label: string, kind: LabelKind = "context"): string {
  return [options, formatLabel(label, kind)].filter((part) => part !== "").join(",");
}

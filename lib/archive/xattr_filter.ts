// SPDX-License-Identifier: Apache-2.0

/**
 * Which extended attributes are part of a layer's content. What a storage driver or the kernel's overlayfs keeps in
 * attributes is not: taken from a tar, it could show another layer's private directory (`redirect`) or hide files
 * without a whiteout (`opaque`).
 *
 * For the filter to be its own inverse, both directions leave out the same names, but for the host's SELinux labels:
 * they are not carried away, and taken in if somebody's tar has them.
 *
 * @module
 */

const STORAGE_PREFIXES = ["trusted.overlay.", "user.overlay.", "user.fuseoverlayfs."] as const;
const STORAGE_NAMES: ReadonlySet<string> = new Set(["user.containers.override_stat"]);

/** Whether `name` belongs to whoever stores the layer, and is never taken from a tar. */
export function isStorageXattr(name: string): boolean {
  return STORAGE_NAMES.has(name) || STORAGE_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/** Whether `name` goes out with a layer. */
export function isExportedXattr(name: string): boolean {
  return name !== "security.selinux" && !isStorageXattr(name);
}

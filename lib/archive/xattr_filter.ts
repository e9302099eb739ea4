// SPDX-License-Identifier: Apache-2.0

/**
 * Which extended attributes are part of a layer's content. What a storage driver or the kernel's overlayfs keeps in
 * attributes is not: taken from a tar, it could show another layer's private directory (`redirect`) or hide files
 * without a whiteout (`opaque`).
 *
 * For the filter to be its own inverse, both directions leave out the same names. SELinux labels are among them: they
 * are the host's policy about a file, not the layer's.
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
  return !isHostXattr(name) && !isStorageXattr(name);
}

/** Whether `name` is the host's to set, and neither goes out with a layer nor comes in. */
export function isHostXattr(name: string): boolean {
  return name === "security.selinux";
}

/**
 * What to do with the attributes of a namespace: `require` fails with `not_supported` or `permission_denied` if one
 * cannot be set, `best-effort` leaves it out and tells so, `drop` does not try.
 */
export type XattrPolicy = "require" | "best-effort" | "drop";

/** A namespace of xattr(7). */
export type XattrNamespace = "user" | "trusted" | "security" | "system";

/** All of them. */
export const XATTR_NAMESPACES: readonly XattrNamespace[] = ["user", "trusted", "security", "system"];

/** A policy for each namespace; `require` where there is none: a layer without its capabilities or ACLs is another one. */
export type XattrPolicies = Readonly<Partial<Record<XattrNamespace, XattrPolicy>>>;

/** An attribute that was left out. */
export interface DroppedXattr {
  /** Its name. */
  name: string;
  /** It belongs to a storage driver or to the host, the caller's policy drops it, or it could not be set. */
  reason: "storage" | "host" | "policy" | "not_supported";
}

/** The policy for the attribute `name`. */
export function xattrPolicyOf(name: string, policies: XattrPolicies): XattrPolicy {
  const namespace = XATTR_NAMESPACES.find((prefix) => name.startsWith(`${prefix}.`));
  return (namespace && policies[namespace]) ?? "require";
}

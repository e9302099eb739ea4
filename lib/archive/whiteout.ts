// SPDX-License-Identifier: Apache-2.0

/**
 * Deleted names, in their two forms. In a tar (`ociWhiteout`) `.wh.x` says that `x` of the layers below is gone, and
 * `.wh..wh..opq` that everything its directory shows from below is. On disk (`overlayWhiteout`) it is a character device
 * 0:0 named `x`, and an attribute of the directory. See the OCI image specification, "Whiteouts", and the kernel's
 * Documentation/filesystems/overlayfs.rst.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { type ByteString, textOfBytes } from "../util/byte_string.ts";

/** What a name in a tar has before the name it deletes. */
export const OCI_WHITEOUT_PREFIX = ".wh.";
/** Makes its directory opaque. */
export const OCI_OPAQUE = ".wh..wh..opq";
/** Names of aufs itself, its hard-link and orphan directories among them, which mean nothing to anybody else. */
const AUFS_PREFIX = ".wh..wh.";

/** Where overlayfs keeps its marks: `user.` in a mount with the option `userxattr`. */
export type OverlayXattrNamespace = "trusted" | "user";

/** What a name in a tar means: something to unpack, a deletion of `name`, an opaque directory, or an aufs leftover. */
export type OciName =
  | { kind: "entry" }
  | { kind: "whiteout"; name: ByteString }
  | { kind: "opaque" }
  | { kind: "aufs" };

const ENTRY: OciName = { kind: "entry" };
const OPAQUE: OciName = { kind: "opaque" };
const AUFS: OciName = { kind: "aufs" };

/**
 * What the last component of a path means.
 *
 * @throws {StorageError} `invalid_archive`: a whiteout of nothing, of `.` or of `..`, by which Docker's unpacker removed
 * the directory itself or its parent.
 */
export function ociNameOf(leaf: ByteString, path: ByteString): OciName {
  if (!leaf.startsWith(OCI_WHITEOUT_PREFIX)) return ENTRY;
  if (leaf === OCI_OPAQUE) return OPAQUE;
  if (leaf.startsWith(AUFS_PREFIX)) return AUFS;
  const name = leaf.slice(OCI_WHITEOUT_PREFIX.length);
  if (name === "" || name === "." || name === "..") {
    throw new StorageError("invalid_archive", `Cannot apply the whiteout "${textOfBytes(path)}": it names no file`);
  }
  return { kind: "whiteout", name };
}

/** Whether a directory on the way to an entry is one of aufs' own. */
export function isInsideAufsDirectory(parent: ByteString): boolean {
  return parent.includes(AUFS_PREFIX) && parent.split("/").some((part) => part.startsWith(AUFS_PREFIX));
}

/** Whether a directory on the way to an entry has the name of a whiteout, which no directory can have in a layer. */
export function isBelowWhiteout(parent: ByteString): boolean {
  return parent.includes(OCI_WHITEOUT_PREFIX) && parent.split("/").some((part) => part.startsWith(OCI_WHITEOUT_PREFIX));
}

/** The attribute that makes a directory opaque, and its value. */
export function opaqueXattr(namespace: OverlayXattrNamespace): string {
  return `${namespace}.overlay.opaque`;
}

/** `y`: the kernel writes and reads this one byte. */
export const OPAQUE_VALUE: Uint8Array<ArrayBuffer> = new Uint8Array([0x79]);

/** Whether an attribute's value says opaque. */
export function isOpaqueValue(value: Uint8Array | undefined): boolean {
  return value !== undefined && value.length === 1 && value[0] === OPAQUE_VALUE[0];
}

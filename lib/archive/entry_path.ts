// SPDX-License-Identifier: Apache-2.0

/**
 * Names from a tar as clean relative paths. This makes them comparable; it does not make them safe. What keeps them in
 * their root is how directories.ts opens them.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { type ByteString, textOfBytes } from "../util/byte_string.ts";

/** An empty component, or one that is "." or "..". */
const ODD_COMPONENT_REGEXP = /(?:^|\/)\.{0,2}(?:\/|$)/;

/**
 * `unsafePath` without empty and `.` components and without slashes at its ends; "" is the root. Absolute names are
 * taken as names below the root, as in a chroot.
 *
 * @throws {StorageError} `unsafe_path`: it has a component `..`; `invalid_archive`: it has none at all.
 */
export function cleanPath(unsafePath: ByteString): ByteString {
  if (unsafePath === "") {
    throw new StorageError("invalid_archive", "Cannot read the archive: it has an entry without a name");
  }
  let path = unsafePath;
  if (path.endsWith("/")) path = path.slice(0, -1);
  if (path.startsWith("./")) path = path.slice(2);
  if (!ODD_COMPONENT_REGEXP.test(path)) return path;
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) {
    throw new StorageError("unsafe_path", `Cannot unpack "${textOfBytes(unsafePath)}": the name contains ".."`, {
      hint: 'do not trust this archive: a name with ".." tries to leave the directory it is unpacked into',
    });
  }
  return parts.join("/");
}

/** What is before the last slash; "" for a name in the root. */
export function parentOf(path: ByteString): ByteString {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "" : path.slice(0, slash);
}

/** What is behind the last slash. */
export function leafOf(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf("/") + 1);
}

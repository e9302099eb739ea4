// SPDX-License-Identifier: Apache-2.0

/**
 * The extended attributes that go out with a layer's files.
 *
 * @module
 */

import { fgetxattr, flistxattr, lgetxattr, llistxattr, tryListxattrat } from "../../ffi/xattr.ts";
import { StorageError } from "../errors.ts";
import { type ByteString, CName, textOfBytes } from "../util/byte_string.ts";
import { leafOf } from "./entry_path.ts";
import { isOpaqueValue, type OverlayXattrNamespace } from "./whiteout.ts";
import { isExportedXattr, XATTR_NAMESPACES, type XattrNamespace } from "./xattr_filter.ts";

/** What a file has that goes out; undefined where that is nothing, the usual case. */
export type ExportedXattrs = Map<ByteString, Uint8Array<ArrayBuffer>> | undefined;

/** Reads attributes. */
export class SourceXattrs {
  readonly #overlayPrefix: string;
  readonly #namespaces: ReadonlySet<string>;
  readonly #place = new CName();

  constructor(overlayXattrs: OverlayXattrNamespace, namespaces: readonly XattrNamespace[] = XATTR_NAMESPACES) {
    this.#overlayPrefix = `${overlayXattrs}.overlay.`;
    this.#namespaces = new Set(namespaces);
  }

  /** Those of the open file or directory `fd`. */
  ofOpen(fd: number, path: ByteString): ExportedXattrs {
    return this.#read(flistxattr(fd), path, (name) => fgetxattr(fd, name));
  }

  /** Those of the open directory `fd`, and whether it is opaque. */
  ofDirectory(fd: number, path: ByteString): { xattrs: ExportedXattrs; isOpaque: boolean } {
    const names = flistxattr(fd);
    if (names.length === 0) return { xattrs: undefined, isOpaque: false };
    const opaque = `${this.#overlayPrefix}opaque`;
    return {
      xattrs: this.#read(names, path, (name) => fgetxattr(fd, name)),
      isOpaque: names.includes(opaque) && isOpaqueValue(fgetxattr(fd, opaque)),
    };
  }

  /**
   * Those of a link or device, which cannot be opened for them: through its parent's descriptor in /proc it has a name.
   *
   * @param path For messages; and its last part is the name, unless that is `leaf`.
   */
  ofName(parentFd: number, path: ByteString, leaf: ByteString = leafOf(path)): ExportedXattrs {
    const names = tryListxattrat(parentFd, this.#place.fill(leaf));
    if (names?.length === 0) return undefined;
    const place = this.#place.fill(`/proc/self/fd/${parentFd}/${leaf}`);
    return this.#read(names ?? llistxattr(place), path, (name) => lgetxattr(place, name));
  }

  #read(
    names: readonly ByteString[],
    path: ByteString,
    read: (name: ByteString) => Uint8Array<ArrayBuffer> | undefined,
  ): ExportedXattrs {
    if (names.length === 0) return undefined;
    let xattrs: ExportedXattrs;
    for (const name of [...names].sort()) {
      if (name.startsWith(this.#overlayPrefix)) this.#refuseIncomplete(name, path);
      if (!isExportedXattr(name) || !this.#namespaces.has(name.slice(0, name.indexOf(".")))) continue;
      const value = read(name);
      if (value !== undefined) (xattrs ??= new Map()).set(name, value);
    }
    return xattrs;
  }

  /** With redirect_dir and metacopy the upper directory alone does not hold what changed. */
  #refuseIncomplete(name: ByteString, path: ByteString): void {
    const mark = name.slice(this.#overlayPrefix.length);
    if (mark !== "redirect" && mark !== "metacopy") return;
    throw new StorageError(
      "not_supported",
      `Cannot archive "${textOfBytes(path)}": the layer was written with the overlayfs option ${
        mark === "redirect" ? "redirect_dir" : "metacopy"
      }, and part of it lies in its parents`,
    );
  }
}

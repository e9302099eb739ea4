// SPDX-License-Identifier: Apache-2.0

/**
 * What a layer's own directory says of the layers below it: which names it deletes, and which directories it makes
 * opaque.
 *
 * @module
 */

import { AT_SYMLINK_NOFOLLOW } from "../../ffi/file.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import { fgetxattr, lgetxattr } from "../../ffi/xattr.ts";
import { type ByteString, CName } from "../util/byte_string.ts";
import { isOpaqueValue, OCI_OPAQUE, OCI_WHITEOUT_PREFIX, opaqueXattr, type OverlayXattrNamespace } from "./whiteout.ts";

/** Reads the marks that overlayfs makes, and those of mount programs where there are any. */
export class LayerMarks {
  readonly #opaqueXattr: string;
  readonly #leaf = new CName();
  readonly #stat = new Stat();

  /** @param hasMarkers Whether files named `.wh.…` are marks, as mount programs have it. */
  constructor(namespace: OverlayXattrNamespace, readonly hasMarkers: boolean) {
    this.#opaqueXattr = opaqueXattr(namespace);
  }

  /** Whether a file beside `name` deletes it. */
  isMarkedDeleted(dirfd: number, name: ByteString): boolean {
    return this.hasMarkers && this.#has(dirfd, OCI_WHITEOUT_PREFIX + name);
  }

  /** Whether `name` itself is a mark, and nothing that the layer shows. */
  isMark(name: ByteString): boolean {
    return this.hasMarkers && name.startsWith(OCI_WHITEOUT_PREFIX);
  }

  /** Whether nothing below shines through a directory that is open for reading. */
  isOpaque(fd: number): boolean {
    if (this.hasMarkers && this.#has(fd, OCI_OPAQUE)) return true;
    return isOpaqueValue(fgetxattr(fd, this.#opaqueXattr));
  }

  /** As {@linkcode isOpaque}, for the directory `name`. */
  isOpaqueName(dirfd: number, name: ByteString): boolean {
    if (this.hasMarkers && this.#has(dirfd, `${name}/${OCI_OPAQUE}`)) return true;
    return isOpaqueValue(lgetxattr(this.#leaf.fill(`/proc/self/fd/${dirfd}/${name}`), this.#opaqueXattr));
  }

  #has(dirfd: number, path: ByteString): boolean {
    return tryStatx(dirfd, this.#leaf.fill(path), AT_SYMLINK_NOFOLLOW, this.#stat) >= 0;
  }
}

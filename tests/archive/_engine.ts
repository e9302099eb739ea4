// SPDX-License-Identifier: Apache-2.0

/**
 * The engine on files: what tests call instead of opening descriptors themselves.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_CREAT, O_DIRECTORY, O_RDONLY, O_TRUNC, O_WRONLY, openat } from "../../ffi/file.ts";
import { pack, type PackOptions, type PackResult } from "../../lib/archive/pack.ts";
import { unpack, type UnpackOptions, type UnpackResult } from "../../lib/archive/unpack.ts";

/** Unpacks the archive `file` into `directory`, which is made if need be. */
export function unpackFile(file: string, directory: string, options: UnpackOptions = {}): UnpackResult {
  Deno.mkdirSync(directory, { recursive: true });
  using archive = new Fd(openat(AT_FDCWD, file, O_RDONLY));
  using root = new Fd(openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY));
  return unpack(archive.fd, root.fd, options);
}

/** Packs `directory` into the archive `file`. */
export function packFile(directory: string, file: string, options: PackOptions = {}): PackResult {
  using root = new Fd(openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY));
  using archive = new Fd(openat(AT_FDCWD, file, O_WRONLY | O_CREAT | O_TRUNC, 0o600));
  return pack(root.fd, archive.fd, options);
}

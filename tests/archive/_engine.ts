// SPDX-License-Identifier: Apache-2.0

/**
 * The engine on files: what tests call instead of opening descriptors themselves.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_CREAT, O_DIRECTORY, O_RDONLY, O_TRUNC, O_WRONLY, openat } from "../../ffi/file.ts";
import { openPlainArchive } from "../../lib/archive/compression.ts";
import { pack, type PackOptions, type PackResult } from "../../lib/archive/pack.ts";
import { unpack, type UnpackOptions, type UnpackResult } from "../../lib/archive/unpack.ts";

/** Unpacks the archive `path` into `directory`, which is made if need be. */
export function unpackFile(path: string, directory: string, options: UnpackOptions = {}): UnpackResult {
  Deno.mkdirSync(directory, { recursive: true });
  using file = new Fd(openat(AT_FDCWD, path, O_RDONLY));
  using archive = openPlainArchive(file.fd);
  using root = new Fd(openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY));
  return unpack(archive, root.fd, options);
}

/** Packs `directory` into the archive `file`. */
export function packFile(directory: string, file: string, options: PackOptions = {}): PackResult {
  using root = new Fd(openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY));
  using archive = new Fd(openat(AT_FDCWD, file, O_WRONLY | O_CREAT | O_TRUNC, 0o600));
  return pack(root.fd, archive.fd, options);
}

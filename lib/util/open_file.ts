// SPDX-License-Identifier: Apache-2.0

/**
 * Files that a user names, as descriptors.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  Fd,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  openat,
  renameat2,
  tryUnlinkat,
  writeAll,
} from "../../ffi/file.ts";
import { asStorageError, StorageError } from "../errors.ts";

/**
 * Opens `path` for reading.
 *
 * @throws {StorageError} `invalid_argument`: there is no such file, or it is a directory; `permission_denied`.
 */
export function openForReading(path: string): Fd {
  try {
    if (Deno.statSync(path).isDirectory) {
      throw new StorageError("invalid_argument", `Cannot read ${JSON.stringify(path)}: it is a directory`);
    }
    return new Fd(openat(AT_FDCWD, path, O_RDONLY));
  } catch (error) {
    throw explained(error, `Cannot read ${JSON.stringify(path)}`);
  }
}

/**
 * A file that is written whole or not at all: what is written goes to another name in the same directory, and `commit`
 * gives it the wanted one. Disposed without `commit`, it leaves nothing behind. What is no regular file (a device, a
 * named pipe) is never replaced but written to as it is.
 */
export class OutputFile implements Disposable {
  /** What the caller named. */
  readonly path: string;
  readonly #target: string;
  readonly #partial: string | undefined;
  readonly #file: Fd;
  #committed = false;

  private constructor(path: string, target: string, partial: string | undefined, file: Fd) {
    this.path = path;
    this.#target = target;
    this.#partial = partial;
    this.#file = file;
  }

  /**
   * Opens `path` for writing.
   *
   * @throws {StorageError} `invalid_argument`: its directory is not there, or it is a directory itself;
   * `permission_denied`, `no_space`, `store_read_only`.
   */
  static open(path: string): OutputFile {
    try {
      return OutputFile.#open(path);
    } catch (error) {
      throw explained(error, `Cannot write ${JSON.stringify(path)}`);
    }
  }

  static #open(path: string): OutputFile {
    const existing = statIfExists(path);
    if (existing?.isDirectory) throw new StorageError("invalid_argument", `Cannot write "${path}": it is a directory`);
    if (existing !== undefined && !existing.isFile) {
      return new OutputFile(path, path, undefined, new Fd(openat(AT_FDCWD, path, O_WRONLY)));
    }
    // Through a symbolic link, the file it leads to is replaced and the link stays.
    const target = existing === undefined ? path : Deno.realPathSync(path);
    const partial = `${target}.lamina-${crypto.randomUUID().slice(0, 8)}`;
    const mode = typeof existing?.mode !== "number" ? 0o666 : existing.mode & 0o777;
    const file = new Fd(openat(AT_FDCWD, partial, O_WRONLY | O_CREAT | O_EXCL, mode));
    return new OutputFile(path, target, partial, file);
  }

  /** The open file. */
  get fd(): number {
    return this.#file.fd;
  }

  /** @throws {StorageError} `no_space`. */
  write(bytes: Uint8Array): void {
    try {
      writeAll(this.fd, bytes);
    } catch (error) {
      throw asStorageError(error, `Cannot write ${JSON.stringify(this.path)}`);
    }
  }

  /** Puts what was written in place. */
  commit(): void {
    try {
      if (this.#partial !== undefined) renameat2(AT_FDCWD, this.#partial, AT_FDCWD, this.#target);
    } catch (error) {
      throw asStorageError(error, `Cannot write ${JSON.stringify(this.path)}`);
    }
    this.#committed = true;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
    if (!this.#committed && this.#partial !== undefined) tryUnlinkat(AT_FDCWD, this.#partial);
  }
}

function statIfExists(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function explained(error: unknown, action: string): StorageError {
  if (error instanceof Deno.errors.NotFound || isErrno(error, "ENOENT")) {
    return new StorageError("invalid_argument", `${action}: no such file or directory`, { cause: error });
  }
  if (error instanceof Deno.errors.NotADirectory || isErrno(error, "ENOTDIR")) {
    return new StorageError("invalid_argument", `${action}: a part of the path is no directory`, { cause: error });
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return new StorageError("permission_denied", `${action}: permission denied`, { cause: error });
  }
  return asStorageError(error, action);
}

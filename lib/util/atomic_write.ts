// SPDX-License-Identifier: Apache-2.0

/**
 * Small files that are either the old ones or the new ones, whatever happens in between.
 *
 * @module
 */

import {
  AT_FDCWD,
  Fd,
  fsync,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  openat,
  renameat2,
  tryUnlinkat,
  writeAll,
} from "../../ffi/file.ts";
import { fchmod } from "../../ffi/owner.ts";
import { randomId } from "./random_id.ts";

const encoder = new TextEncoder();

/**
 * Makes `path`, which is not there yet, with exactly this mode.
 *
 * @param sync Whether its content is on the disk when this returns.
 */
export function writeNewFile(path: string, content: string, mode: number, sync = true): void {
  using file = new Fd(openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, mode));
  fchmod(file.fd, mode);
  writeAll(file.fd, encoder.encode(content));
  if (sync) fsync(file.fd);
}

/** Replaces `path` by write, fsync and rename. The name it has meanwhile begins with `.lamina-`. */
export function replaceFile(path: string, content: string, mode: number, sync = true): void {
  using file = new StagedFile(path, content, mode, sync);
  file.putInPlace();
}

/** What is to replace a file: whole on the disk, but for its name. Disposed before it has that, it is gone. */
export class StagedFile implements Disposable {
  readonly #temporary: string;

  /** As {@linkcode replaceFile}. */
  constructor(readonly path: string, content: string, mode: number, sync = true) {
    const slash = path.lastIndexOf("/") + 1;
    this.#temporary = `${path.slice(0, slash)}.lamina-${randomId(10)}-${path.slice(slash)}`;
    try {
      writeNewFile(this.#temporary, content, mode, sync);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Gives it the name. */
  putInPlace(): void {
    renameat2(AT_FDCWD, this.#temporary, AT_FDCWD, this.path);
  }

  [Symbol.dispose](): void {
    tryUnlinkat(AT_FDCWD, this.#temporary);
  }
}

/** Has the names in the directory `path` on the disk when it returns, with what was renamed or removed there. See fsync(2). */
export function syncDirectory(path: string): void {
  using directory = new Fd(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  fsync(directory.fd);
}

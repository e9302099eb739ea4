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
  const slash = path.lastIndexOf("/") + 1;
  const temporary = `${path.slice(0, slash)}.lamina-${randomId(10)}-${path.slice(slash)}`;
  try {
    writeNewFile(temporary, content, mode, sync);
    renameat2(AT_FDCWD, temporary, AT_FDCWD, path);
  } catch (error) {
    tryUnlinkat(AT_FDCWD, temporary);
    throw error;
  }
}

/** Has the names in the directory `path` on the disk when it returns, with what was renamed or removed there. See fsync(2). */
export function syncDirectory(path: string): void {
  using directory = new Fd(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  fsync(directory.fd);
}

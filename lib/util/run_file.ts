// SPDX-License-Identifier: Apache-2.0

/**
 * Files of the run root. They need not outlive the machine, so nothing is synced; they must still never be seen half
 * written, since a process can die at any instruction.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_CREAT, O_TRUNC, O_WRONLY, openat, renameat2, tryMkdirat, writeAll } from "../../ffi/file.ts";
import { ERRNO, failure, octal } from "../../ffi/errno.ts";
import { geteuid } from "../../ffi/process.ts";
import { S_ISVTX, statat } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";

const encoder = new TextEncoder();
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;
const OTHERS_WRITE = 0o022;
const ROOT = 0;

/**
 * Replaces `path` by write and rename.
 *
 * @param temporary The name it has meanwhile. The caller's lock keeps others away from it; who has no lock gives one that
 * is its own.
 */
export function replaceFileQuickly(path: string, content: string, temporary: string = `${path}.new`): void {
  {
    using file = new Fd(openat(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_TRUNC, FILE_MODE));
    writeAll(file.fd, encoder.encode(content));
  }
  renameat2(AT_FDCWD, temporary, AT_FDCWD, path);
}

/** Makes the directory `path` and those above it that are not there, for the owner alone. */
export function makeRunDirectory(path: string): void {
  makeDirectories(path, DIRECTORY_MODE);
}

/**
 * Makes sure that nobody but root and ourselves can put anything in place of what we keep in the directory `path`.
 *
 * @throws {StorageError} `invalid_argument`: it is somebody else's, or others may write there.
 */
export function requireOwnDirectory(path: string): void {
  const { uid, mode } = statat(AT_FDCWD, path);
  const isOthers = uid !== ROOT && uid !== geteuid();
  // Where it is sticky, as /tmp is, they can add names and not take ours away.
  const isOpen = (mode & OTHERS_WRITE) !== 0 && (mode & S_ISVTX) === 0;
  if (!isOthers && !isOpen) return;
  const why = isOthers ? `it belongs to the user ${uid}` : "others than its owner may write there";
  throw new StorageError("invalid_argument", `Cannot keep what is mounted in ${path}: ${why}`, {
    hint: "give a directory of your own: --run-root DIR (LAMINA_RUN_ROOT)",
  });
}

/** Makes the directory `path` with `mode`, and those above it that are not there. */
export function makeDirectories(path: string, mode: number): void {
  const result = tryMkdirat(AT_FDCWD, path, mode);
  if (result === 0 || result === -ERRNO.EEXIST) return;
  const parent = path.slice(0, path.lastIndexOf("/"));
  if (result !== -ERRNO.ENOENT || parent === "") throw failure(-result, "mkdirat", AT_FDCWD, path, octal(mode));
  makeDirectories(parent, mode);
  const again = tryMkdirat(AT_FDCWD, path, mode);
  if (again < 0 && again !== -ERRNO.EEXIST) throw failure(-again, "mkdirat", AT_FDCWD, path, octal(mode));
}

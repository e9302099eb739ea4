// SPDX-License-Identifier: Apache-2.0

/**
 * `lost+found` in a home: where `check --repair` puts what it cannot give a place. The name is that of fsck, and can be no
 * layer's, since `+` is in no id; in a home that is a file system's root the two share it.
 *
 * @module
 */

import { ERRNO, failure, isErrno, octal } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  Fd,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  openat2,
  RENAME_NOREPLACE,
  renameat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  tryMkdirat,
  tryOpenat,
} from "../../ffi/file.ts";
import { geteuid } from "../../ffi/process.ts";
import { fstat } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";
import { bytesOfText, type ByteString, CName, textOfBytes } from "../util/byte_string.ts";

/** Its name. */
export const LOST_FOUND = "lost+found";
const MODE = 0o700;
/** A name may have 255 bytes, and needs room for a number. */
const MOST_NAME_BYTES = 230;
const OTHERS_WRITE = 0o022;

/** What keeps `lost+found` in `home` from being used; undefined where it can be, or is not there yet. */
export function lostFoundFault(home: string): string | undefined {
  const fd = tryOpenat(AT_FDCWD, `${home}/${LOST_FOUND}`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd === -ERRNO.ENOENT) return undefined;
  if (fd === -ERRNO.ENOTDIR || fd === -ERRNO.ELOOP) return "is no directory";
  if (fd < 0) throw failure(-fd, "openat", AT_FDCWD, `${home}/${LOST_FOUND}`);
  using directory = new Fd(fd);
  return faultOf(directory.fd);
}

function faultOf(fd: number): string | undefined {
  const stat = fstat(fd);
  if (stat.uid !== geteuid()) return `belongs to the user ${stat.uid}`;
  return (stat.mode & OTHERS_WRITE) === 0 ? undefined : "can be written by others";
}

/**
 * Moves `name` of the directory `parent` in `home` to lost+found, under a name that nothing has there.
 *
 * @param parent Relative to the home; empty for the home itself.
 * @returns The new path.
 * @throws {StorageError} `store_damaged`: lost+found is no directory of ours.
 */
export function moveToLostFound(home: string, parent: string, name: ByteString): string {
  using homeFd = new Fd(openat(AT_FDCWD, home, O_RDONLY | O_DIRECTORY));
  const made = tryMkdirat(homeFd.fd, LOST_FOUND, MODE);
  if (made < 0 && made !== -ERRNO.EEXIST) throw failure(-made, "mkdirat", homeFd.fd, LOST_FOUND, octal(MODE));
  const fault = lostFoundFault(home);
  if (fault !== undefined) {
    throw new StorageError("store_damaged", `Cannot move anything to ${home}/${LOST_FOUND}: it ${fault}`);
  }
  using target = new Fd(openat(homeFd.fd, LOST_FOUND, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const flags = O_RDONLY | O_DIRECTORY;
  using source = new Fd(
    parent === "" ? openat(homeFd.fd, ".", flags) : openat2(
      homeFd.fd,
      parent,
      flags,
      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    ),
  );
  const prefix = parent === "" ? "" : `${bytesOfText(parent.replaceAll("/", "-"))}-`;
  const base = `${prefix}${name}`.slice(0, MOST_NAME_BYTES);
  const old = new CName().fill(name);
  const leaf = new CName();
  for (let n = 0;; n++) {
    const next = n === 0 ? base : `${base}.${n}`;
    try {
      renameat2(source.fd, old, target.fd, leaf.fill(next), RENAME_NOREPLACE);
      return `${home}/${LOST_FOUND}/${textOfBytes(next)}`;
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
  }
}

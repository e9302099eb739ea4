// SPDX-License-Identifier: Apache-2.0

/**
 * Locks on directories, by flock(2) on the directory itself: no lock file grows or is left behind, a read-only file
 * system will do, and the lock of a process that dies is free. They hold between processes and between the tasks of one
 * process alike, since each takes its own descriptor.
 *
 * @module
 */

import { ERRNO, failure, hex } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  Fd,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  RENAME_NOREPLACE,
  renameat2,
  tryOpenat,
  tryUnlinkat,
} from "../../ffi/file.ts";
import { tryFlock } from "../../ffi/process.ts";
import { fstat, Stat, tryStatx } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";
import { lockHolderOf } from "./lock_holder.ts";

const FIRST_WAIT_MS = 1;
const LONGEST_WAIT_MS = 50;
const GIVE_UP_MS = 60_000;

/** A lock that is held until it is disposed: the open directory, by which what is in it can be reached. */
export type DirectoryLock = Fd;

/**
 * Locks the directory `path`; undefined if there is none. Waits without blocking the thread: the holder may be a task of
 * the same one.
 *
 * @param giveUpMs How long, in milliseconds; a minute, where holding it takes milliseconds.
 * @throws {StorageError} `layer_in_use`: somebody has held it all the while; the message says who.
 */
export async function lockDirectory(
  path: string,
  mode: "shared" | "exclusive",
  giveUpMs = GIVE_UP_MS,
): Promise<DirectoryLock | undefined> {
  let lock = tryLockDirectory(path, mode);
  if (lock !== "busy") return lock;
  const giveUp = performance.now() + giveUpMs;
  for (let waitMs = FIRST_WAIT_MS; lock === "busy"; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
    if (performance.now() > giveUp) throw stillLocked(path, giveUpMs);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    lock = tryLockDirectory(path, mode);
  }
  return lock;
}

function stillLocked(path: string, waitedMs: number): StorageError {
  const holder = lockHolderOf(path);
  const who = holder === undefined ? "somebody" : `process ${holder.pid} (${holder.program})`;
  return new StorageError(
    "layer_in_use",
    `Cannot lock ${path}: ${who} has held the lock for ${Math.round(waitedMs / 1000)} seconds`,
    { hint: "wait for it to end, or end it; its lock ends with it" },
  );
}

/** As {@linkcode lockDirectory}, without waiting. */
export function tryLockDirectory(path: string, mode: "shared" | "exclusive"): DirectoryLock | undefined | "busy" {
  const fd = tryOpenat(AT_FDCWD, path, FLAGS);
  if (fd === -ERRNO.ENOENT || fd === -ERRNO.ENOTDIR || fd === -ERRNO.ELOOP) return undefined;
  if (fd < 0) throw failure(-fd, "openat", AT_FDCWD, path, hex(FLAGS));
  const directory = new Fd(fd);
  try {
    // Between open and lock the directory may have been renamed away, and another made in its place.
    if (tryFlock(fd, mode) && isStill(path, fd)) return directory;
  } catch (error) {
    directory[Symbol.dispose]();
    throw error;
  }
  directory[Symbol.dispose]();
  return "busy";
}

/** Whether somebody has locked the directory `path`. */
export function isLocked(path: string): boolean {
  const lock = tryLockDirectory(path, "exclusive");
  if (lock === "busy") return true;
  lock?.[Symbol.dispose]();
  return false;
}

/**
 * Locks the directory `path`, of which nobody else knows yet.
 *
 * @throws {SyscallError} ENOENT.
 */
export function lockNewDirectory(path: string): DirectoryLock {
  using directory = new Fd(openat(AT_FDCWD, path, FLAGS));
  if (!tryFlock(directory.fd, "exclusive")) throw failure(ERRNO.EAGAIN, "flock", path);
  return new Fd(directory.release());
}

/**
 * Makes the directory `path`, and returns its lock: whoever sees the name sees the lock, so that one without is what a process
 * left that died.
 *
 * @param fresh The name that it has before, in the same directory.
 * @param make Makes the directory of that name.
 * @throws What `make` throws. {SyscallError} EEXIST.
 */
export function makeLockedDirectory(path: string, fresh: string, make: (fresh: string) => void): DirectoryLock {
  using undo = new DisposableStack();
  undo.defer(() => void tryUnlinkat(AT_FDCWD, fresh, AT_REMOVEDIR));
  make(fresh);
  const lock = undo.use(lockNewDirectory(fresh));
  renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE);
  undo.move();
  return lock;
}

const FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

const named = new Stat();
const opened = new Stat();

function isStill(path: string, fd: number): boolean {
  return tryStatx(AT_FDCWD, path, 0, named) === 0 && named.isSameFile(fstat(fd, opened));
}

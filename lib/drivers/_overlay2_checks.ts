// SPDX-License-Identifier: Apache-2.0

/**
 * What older versions of Docker's `overlay2` did before they used a home, for who relies on it: all of it off by default,
 * since lamina tries a mount instead, which finds out more. That mount has two lower layers, so it is the probe of 2018
 * for kernels before 4.0 as well.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_DIRECTORY, O_PATH, openat, readlinkat } from "../../ffi/file.ts";
import { mount, MS_BIND, MS_PRIVATE } from "../../ffi/mount.ts";
import { statfs } from "../../ffi/statfs.ts";
import { asStorageError, StorageError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { mountsBelow } from "../mount/mountinfo.ts";
import { unmountLazily } from "../mount/unmount.ts";
import { readTextFile } from "../util/read_file.ts";
import { textOf } from "../util/text.ts";

/** Which of them are wanted. */
export interface HomeChecks {
  /** Refuses file systems by their magic numbers. */
  checkBackingFs: boolean;
  /** Refuses kernels by their version. */
  checkKernel: boolean;
  /** Warns of such kernels instead. */
  overrideKernelCheck: boolean;
  /** Makes the home a mount of its own, whose mounts no other mount namespace gets to see. */
  privateHome: boolean;
}

/** File systems that the versions of 2017 and 2018 refused; 2017 did without nfs. */
const REFUSED_FILE_SYSTEMS: ReadonlySet<string> = new Set(["aufs", "ecryptfs", "nfs", "overlayfs", "zfs"]);

/**
 * Checks a home, and makes it private, as `checks` says.
 *
 * @throws {StorageError} `incompatible_filesystem`, `not_supported`: what a check found; `layer_in_use`: layers are mounted
 * in a home that is to become private.
 */
export function checkHome(home: string, checks: HomeChecks, logger: Logger): void {
  const { name } = statfs(home);
  if (checks.checkBackingFs) requireFileSystem(home, name);
  if (checks.checkKernel) {
    const release = readTextFile("/proc/sys/kernel/osrelease").trim();
    requireKernel(release, name, checks.overrideKernelCheck, logger);
  }
  if (checks.privateHome) makePrivate(home);
}

/** @throws {StorageError} `incompatible_filesystem`. */
export function requireFileSystem(home: string, name: string): void {
  if (!REFUSED_FILE_SYSTEMS.has(name)) return;
  throw new StorageError("incompatible_filesystem", `Cannot keep overlay layers in ${home}: overlay2 refuses ${name}`, {
    hint: "use a directory on another file system, or leave overlay2.check_backing_fs out",
  });
}

/** Overlays of several lower layers are from Linux 4.0, those on btrfs from 4.7. */
const OLDEST_KERNEL: readonly [number, number] = [4, 0];
const OLDEST_KERNEL_ON_BTRFS: readonly [number, number] = [4, 7];

/**
 * @param release As uname(2) tells it: `6.12.9-amd64`. One that is no version passes: the mount will tell.
 * @throws {StorageError} `not_supported`.
 */
export function requireKernel(release: string, fileSystem: string, override: boolean, logger: Logger): void {
  const version = /^(\d+)\.(\d+)/.exec(release);
  if (version === null) return;
  const [major, minor] = fileSystem === "btrfs" ? OLDEST_KERNEL_ON_BTRFS : OLDEST_KERNEL;
  const [isMajor, isMinor] = [Number(version[1]), Number(version[2])];
  if (isMajor > major || (isMajor === major && isMinor >= minor)) return;
  const message = `overlay2 on ${fileSystem} needs Linux ${major}.${minor}, this is ${release}`;
  if (override) return logger.warn(`${message}; mounts may fail`);
  throw new StorageError("not_supported", message, { hint: "give overlay2.override_kernel_check=true to try it" });
}

/** A mount that is there already only stops telling others; what is a mount stays one. */
function makePrivate(home: string): void {
  const path = realPath(home);
  const mounts = mountsBelow(path);
  try {
    if (!mounts.some(({ mountPoint }) => mountPoint === path)) {
      // A bind would hide them, or hold them twice.
      const [mounted] = mounts;
      if (mounted !== undefined) throw inUse(home, mounted.mountPoint);
      mount(path, path, null, MS_BIND, null);
    }
    mount(null, path, null, MS_PRIVATE, null);
  } catch (error) {
    throw asStorageError(error, `Cannot make ${home} private`);
  }
}

function inUse(home: string, mountPoint: string): StorageError {
  return new StorageError("layer_in_use", `Cannot make ${home} private: ${mountPoint} is mounted in it`, {
    hint: "unmount its layers first (lamina cleanup), or leave overlay2.private_home out",
  });
}

/** Takes back what made the home private. A file system of its own that is mounted there is not ours, and stays. */
export function leavePrivateHome(home: string): void {
  const path = realPath(home);
  for (const { mountPoint, root } of mountsBelow(path)) {
    if (mountPoint === path && root !== "/") unmountLazily(path);
  }
}

/** The path as the mount table has it. */
function realPath(path: string): string {
  using directory = new Fd(openat(AT_FDCWD, path, O_PATH | O_DIRECTORY));
  return textOf(readlinkat(AT_FDCWD, `/proc/self/fd/${directory.fd}`));
}

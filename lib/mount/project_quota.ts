// SPDX-License-Identifier: Apache-2.0

/**
 * Limits on what a directory's files may take: a project of the file system, to which the directory and all that comes to
 * be in it belong. XFS and ext4 have them, where they are switched on.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  Fd,
  mknodat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  readlinkat,
  tryUnlinkat,
} from "../../ffi/file.ts";
import {
  type FileProject,
  getProject,
  hasQuotactlFd,
  hasQuotas,
  projectQuotaState,
  type ProjectUsage,
  projectUsage,
  type QuotaTarget,
  setProject,
  setProjectLimit,
} from "../../ffi/quota.ts";
import { S_IFBLK, Stat, statat, tryStatx } from "../../ffi/stat.ts";
import { EXT4_SUPER_MAGIC, statfs, XFS_SUPER_MAGIC } from "../../ffi/statfs.ts";
import { StorageError } from "../errors.ts";
import { readTextFile } from "../util/read_file.ts";
import { textOf } from "../util/text.ts";
import { parseMountInfo } from "./mountinfo.ts";

/** How the kernel is told which file system is meant: by an open file, or, before Linux 5.14, by a block device. */
export type QuotaApi = "fd" | "device";

/** What a layer may take of its file system, and has taken: blocks of its files and directories, not their length. */
export interface LayerQuota {
  /** The project that the layer's files belong to, as `xfs_quota` and `repquota -P` list it. */
  projectId: number;
  /** What it may take; 0 for no limit. */
  limitBytes: number;
  /** What it has taken. */
  usedBytes: number;
}

/** Docker's and containers/storage's name for the block device in a home. */
const DEVICE_NAME = "backingFsBlockDev";
const DEVICE_MODE = 0o600;

/** The project of the directory `path`; undefined where the file system has no projects, or there is no such directory. */
export function projectOf(path: string): FileProject | undefined {
  try {
    using directory = openDirectory(path);
    return projectOfOpen(directory.fd);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

/** As {@linkcode projectOf}, of the directory that is open at `fd`. */
export function projectOfOpen(fd: number): FileProject | undefined {
  try {
    return getProject(fd);
  } catch (error) {
    if (isErrno(error, "ENOTTY", "EOPNOTSUPP", "EINVAL")) return undefined;
    throw error;
  }
}

/** Gives the directory `path`, and what will be made in it, to a project. */
export function moveToProject(path: string, project: FileProject): void {
  using directory = openDirectory(path);
  setProject(directory.fd, project);
}

function openDirectory(path: string): Fd {
  return new Fd(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

/** The project quotas of the file system that the directory `home` lies on. */
export class ProjectQuotas {
  /** @param api Left out, the newest that the kernel has. */
  constructor(readonly home: string, readonly api: QuotaApi = hasQuotactlFd() ? "fd" : "device") {}

  /**
   * Makes sure that limits hold there.
   *
   * @throws {StorageError} `not_supported`, with what is missing and how to get it.
   */
  requireEnforcement(): void {
    this.#ask((target) => {
      const state = projectQuotaState(target);
      if (state?.enforcement !== true) throw notEnforced(this.home, target, state?.accounting === true);
    });
  }

  /** What a project may take and has taken; undefined where the kernel does not tell. */
  usage(id: number): ProjectUsage | undefined {
    try {
      return this.#ask((target) => projectUsage(target, id));
    } catch (error) {
      if (isErrno(error, "ENOSYS", "ESRCH", "EINVAL", "EPERM", "EACCES", "ENOTBLK", "ENODEV")) return undefined;
      throw error;
    }
  }

  /** Limits a project; 0 takes its limit away. */
  setLimit(id: number, limitBytes: number): void {
    this.#ask((target) => setProjectLimit(target, id, limitBytes));
  }

  #ask<T>(question: (target: QuotaTarget) => T): T {
    if (this.api === "device") return question(this.#makeDevice());
    using directory = openDirectory(this.home);
    return question(directory.fd);
  }

  /** The device's own file in /dev may be missing in a container, or have another name. */
  #makeDevice(): string {
    const path = `${this.home}/${DEVICE_NAME}`;
    const { devMajor, devMinor } = statat(AT_FDCWD, this.home);
    const stat = new Stat();
    const isThere = tryStatx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, stat) === 0;
    if (isThere && stat.isBlockDevice && stat.rdevMajor === devMajor && stat.rdevMinor === devMinor) return path;
    if (isThere) tryUnlinkat(AT_FDCWD, path);
    try {
      mknodat(AT_FDCWD, path, S_IFBLK | DEVICE_MODE, devMajor, devMinor);
    } catch (error) {
      // Another process made it.
      if (!isErrno(error, "EEXIST")) throw error;
    }
    return path;
  }
}

/** Why no limit holds in `home`. */
function notEnforced(home: string, target: QuotaTarget, isAccounted: boolean): StorageError {
  const { type, name } = statfs(home);
  const mountPoint = mountPointOf(home);
  const refuse = (reason: string, hint: string): StorageError =>
    new StorageError("not_supported", `Cannot limit the size of layers in ${home}: ${reason}`, { hint });
  if (type !== XFS_SUPER_MAGIC && type !== EXT4_SUPER_MAGIC) {
    return refuse(
      `its file system (${name}) has no project quotas`,
      "keep the layers on XFS mounted with pquota, or on ext4 with the features project and quota mounted with prjquota",
    );
  }
  if (!hasQuotas(target)) {
    return type === XFS_SUPER_MAGIC
      ? refuse("the kernel has no quotas for XFS", "use a kernel built with CONFIG_XFS_QUOTA")
      : refuse("the kernel has no quotas for ext4", "use a kernel built with CONFIG_QUOTA and CONFIG_QFMT_V2");
  }
  if (type === XFS_SUPER_MAGIC) {
    return refuse(
      isAccounted
        ? `${mountPoint} counts what projects take and does not limit it (pqnoenforce)`
        : `${mountPoint} is XFS mounted without pquota`,
      `mount ${mountPoint} again with the option pquota: umount and mount, since a remount does not switch it on; ` +
        "for the root file system boot with rootflags=pquota",
    );
  }
  if (isAccounted) {
    return refuse(
      `${mountPoint} is ext4 mounted without prjquota`,
      `mount ${mountPoint} again with the option prjquota`,
    );
  }
  return refuse(
    `${mountPoint} is ext4 without the features project and quota`,
    `unmount ${mountPoint}, run tune2fs -O project,quota on its device, and mount it with the option prjquota; ` +
      "the kernel must be built with CONFIG_QFMT_V2",
  );
}

/** Where the file system of the directory `path` is mounted. */
function mountPointOf(path: string): string {
  using directory = openDirectory(path);
  const real = textOf(readlinkat(AT_FDCWD, `/proc/self/fd/${directory.fd}`));
  const above = parseMountInfo(readTextFile("/proc/self/mountinfo"))
    .map(({ mountPoint }) => mountPoint)
    .filter((mountPoint) => mountPoint === "/" || real === mountPoint || real.startsWith(`${mountPoint}/`));
  return above.sort((a, b) => b.length - a.length)[0] ?? "/";
}

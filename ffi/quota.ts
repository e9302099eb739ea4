// SPDX-License-Identifier: Apache-2.0

/**
 * Project quotas: the project of a directory (ioctl_fsgetxattr, in linux/fs.h), its limit and its usage (quotactl(2) and
 * quotactl_fd(2)).
 *
 * The commands are those of linux/dqblk_xfs.h, which the kernel translates for every file system that has quotas: ext4 and
 * f2fs answer them as XFS does. The structures have the same layout on x86-64 and aarch64, whose 64-bit fields are all
 * aligned to 8 bytes, and ioctl numbers are those of asm-generic/ioctl.h on both.
 *
 * @module
 */

import { type CPath, cpath } from "./_cstring.ts";
import { lastErrno, libc, SYS } from "./_libc.ts";
import { ERRNO, failure, hex } from "./errno.ts";

/** `_IOR('X', 31, struct fsxattr)` and `_IOW('X', 32, struct fsxattr)`, in linux/fs.h. */
const FS_IOC_FSGETXATTR = 0x801c581fn;
const FS_IOC_FSSETXATTR = 0x401c5820n;
/** New files in the directory belong to its project. */
const FS_XFLAG_PROJINHERIT = 0x200;

/** `struct fsxattr` (linux/fs.h): offsets in 32-bit words. */
const FSXATTR_SIZE = 28;
const FSX_XFLAGS = 0;
const FSX_PROJID = 3;

/** `QCMD(XQM_CMD(x), PRJQUOTA)`: linux/quota.h, linux/dqblk_xfs.h. */
const PRJQUOTA = 2;
const qcmd = (command: number): number => ((0x5800 + command) << 8) | PRJQUOTA;
const Q_XGETQUOTA = qcmd(3);
const Q_XSETQLIM = qcmd(4);
const Q_XGETQSTATV = qcmd(8);

/** `QCMD(Q_GETINFO, PRJQUOTA)`, and the size of its `struct if_dqinfo`: linux/quota.h. */
const Q_GETINFO = (0x800005 << 8) | PRJQUOTA;
const DQINFO_SIZE = 24;

/** `struct fs_quota_statv` (linux/dqblk_xfs.h). */
const STATV_SIZE = 160;
const QS_VERSION = 0;
const QS_FLAGS = 2;
const FS_QSTATV_VERSION1 = 1;
const FS_QUOTA_PDQ_ACCT = 1 << 4;
const FS_QUOTA_PDQ_ENFD = 1 << 5;

/** `struct fs_disk_quota` (linux/dqblk_xfs.h): offsets in bytes, sizes in blocks of 512 bytes. */
const DISK_QUOTA_SIZE = 112;
const D_VERSION = 0;
const D_FLAGS = 1;
const D_FIELDMASK = 2;
const D_ID = 4;
const D_BLK_HARDLIMIT = 8;
const D_BLK_SOFTLIMIT = 16;
const D_BCOUNT = 40;
const D_ICOUNT = 48;
const FS_DQUOT_VERSION = 1;
const FS_PROJ_QUOTA = 1 << 1;
const FS_DQ_BSOFT = 1 << 2;
const FS_DQ_BHARD = 1 << 3;
const BLOCK = 512;

/** `struct fsxattr`, filled and read within one call. */
const fsxattr = new Uint32Array(FSXATTR_SIZE / 4);

/** The project of a file or directory. */
export interface FileProject {
  /** 0 for none. */
  id: number;
  /** Whether new files in the directory belong to it. */
  inherited: boolean;
}

/** The project of the open file `fd`. Not for one opened with O_PATH. See FS_IOC_FSGETXATTR in linux/fs.h. */
export function getProject(fd: number): FileProject {
  const words = readFsxattr(fd);
  return { id: words[FSX_PROJID]!, inherited: (words[FSX_XFLAGS]! & FS_XFLAG_PROJINHERIT) !== 0 };
}

/** Gives the open directory `fd` to a project; everything else that struct fsxattr holds stays. */
export function setProject(fd: number, { id, inherited }: FileProject): void {
  const words = readFsxattr(fd);
  words[FSX_PROJID] = id;
  words[FSX_XFLAGS] = inherited
    ? words[FSX_XFLAGS]! | FS_XFLAG_PROJINHERIT
    : words[FSX_XFLAGS]! & ~FS_XFLAG_PROJINHERIT;
  if (libc.ioctl(fd, FS_IOC_FSSETXATTR, words) === -1) {
    throw failure(lastErrno(), "ioctl(FS_IOC_FSSETXATTR)", fd, id);
  }
}

function readFsxattr(fd: number): Uint32Array<ArrayBuffer> {
  const words = fsxattr;
  if (libc.ioctl(fd, FS_IOC_FSGETXATTR, words) === -1) throw failure(lastErrno(), "ioctl(FS_IOC_FSGETXATTR)", fd);
  return words;
}

/** A file system: an open file on it (Linux 5.14), or the path of its block device. */
export type QuotaTarget = number | CPath;

/** Whether the kernel takes an open file: one that is none is refused by a kernel that knows the call. */
export function hasQuotactlFd(): boolean {
  return tryQuotactl(-1, Q_XGETQSTATV, 0, new Uint8Array(STATV_SIZE)) !== -ERRNO.ENOSYS;
}

function tryQuotactl(target: QuotaTarget, command: number, id: number, structure: Uint8Array<ArrayBuffer>): number {
  const result = typeof target === "number"
    ? libc.quotactl_fd(SYS.quotactl_fd, target, command, id, structure)
    : libc.quotactl(command, cpath(target), id, structure);
  return result === -1 ? -lastErrno() : 0;
}

function refused(result: number, target: QuotaTarget, command: number, ...args: unknown[]): Error {
  return failure(-result, typeof target === "number" ? "quotactl_fd" : "quotactl", hex(command), target, ...args);
}

/** What a file system does with project quotas. */
export interface ProjectQuotaState {
  /** Usage is counted. */
  accounting: boolean;
  /** Limits hold. */
  enforcement: boolean;
}

/** `Q_XGETQSTATV`; undefined where no quota of any kind is switched on, or the file system has none. */
export function projectQuotaState(target: QuotaTarget): ProjectQuotaState | undefined {
  const view = new DataView(new ArrayBuffer(STATV_SIZE));
  view.setInt8(QS_VERSION, FS_QSTATV_VERSION1);
  const result = tryQuotactl(target, Q_XGETQSTATV, 0, new Uint8Array(view.buffer));
  // EINVAL: quotas, but none of projects.
  if (result === -ERRNO.ENOSYS || result === -ERRNO.EINVAL) return undefined;
  if (result < 0) throw refused(result, target, Q_XGETQSTATV);
  return parseQuotaState(view);
}

/** Whether the kernel has quotas for a file system at all. The question about one that is off is ESRCH then. */
export function hasQuotas(target: QuotaTarget): boolean {
  return tryQuotactl(target, Q_GETINFO, 0, new Uint8Array(DQINFO_SIZE)) !== -ERRNO.ENOSYS;
}

/** The fields of a `struct fs_quota_statv`. */
export function parseQuotaState(view: DataView): ProjectQuotaState {
  const flags = view.getUint16(QS_FLAGS, true);
  return { accounting: (flags & FS_QUOTA_PDQ_ACCT) !== 0, enforcement: (flags & FS_QUOTA_PDQ_ENFD) !== 0 };
}

/** What a project may take, and has taken. */
export interface ProjectUsage {
  /** 0 for no limit. */
  limitBytes: number;
  usedBytes: number;
  /** Inodes of every kind. */
  usedInodes: number;
}

const NOTHING: ProjectUsage = { limitBytes: 0, usedBytes: 0, usedInodes: 0 };

/** `Q_XGETQUOTA`: of a project that never had a file or a limit, XFS knows nothing. */
export function projectUsage(target: QuotaTarget, id: number): ProjectUsage {
  const view = new DataView(new ArrayBuffer(DISK_QUOTA_SIZE));
  const result = tryQuotactl(target, Q_XGETQUOTA, id, new Uint8Array(view.buffer));
  if (result === -ERRNO.ENOENT) return { ...NOTHING };
  if (result < 0) throw refused(result, target, Q_XGETQUOTA, id);
  return parseDiskQuota(view);
}

/** The fields of a `struct fs_disk_quota`. */
export function parseDiskQuota(view: DataView): ProjectUsage {
  return {
    limitBytes: Number(view.getBigUint64(D_BLK_HARDLIMIT, true)) * BLOCK,
    usedBytes: Number(view.getBigUint64(D_BCOUNT, true)) * BLOCK,
    usedInodes: Number(view.getBigUint64(D_ICOUNT, true)),
  };
}

/** `Q_XSETQLIM`: limits the space of a project, rounded up to 512 bytes; 0 takes the limit away. */
export function setProjectLimit(target: QuotaTarget, id: number, limitBytes: number): void {
  const structure = diskQuotaFor(id, limitBytes);
  const result = tryQuotactl(target, Q_XSETQLIM, id, structure);
  if (result < 0) throw refused(result, target, Q_XSETQLIM, id, limitBytes);
}

/** The `struct fs_disk_quota` that limits a project. A hard limit alone would do; tools that report limits show both. */
export function diskQuotaFor(id: number, limitBytes: number): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(DISK_QUOTA_SIZE));
  const blocks = BigInt(Math.ceil(limitBytes / BLOCK));
  view.setInt8(D_VERSION, FS_DQUOT_VERSION);
  view.setInt8(D_FLAGS, FS_PROJ_QUOTA);
  view.setUint16(D_FIELDMASK, FS_DQ_BSOFT | FS_DQ_BHARD, true);
  view.setUint32(D_ID, id, true);
  view.setBigUint64(D_BLK_HARDLIMIT, blocks, true);
  view.setBigUint64(D_BLK_SOFTLIMIT, blocks, true);
  return new Uint8Array(view.buffer);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * File systems: statfs(2) and their magic numbers (linux/magic.h).
 *
 * @module
 */

import { type CPath, cpath } from "./_cstring.ts";
import { lastErrno, libc } from "./_libc.ts";
import { failure } from "./errno.ts";

export const OVERLAYFS_SUPER_MAGIC = 0x794c7630;
export const EXT4_SUPER_MAGIC = 0xef53;
export const XFS_SUPER_MAGIC = 0x58465342;
export const BTRFS_SUPER_MAGIC = 0x9123683e;
export const TMPFS_MAGIC = 0x01021994;
export const SELINUX_MAGIC = 0xf97cff8c;

/** The names that Docker prints for magic numbers. */
const NAMES = new Map<number, string>([
  [0x61756673, "aufs"],
  [BTRFS_SUPER_MAGIC, "btrfs"],
  [0x28cd3d45, "cramfs"],
  [0xf15f, "ecryptfs"],
  [EXT4_SUPER_MAGIC, "extfs"],
  [0xf2f52010, "f2fs"],
  [0x65735546, "fuse"],
  [0x47504653, "gpfs"],
  [0x3153464a, "jfs"],
  [0x6969, "nfs"],
  [OVERLAYFS_SUPER_MAGIC, "overlayfs"],
  [0x9fa0, "proc"],
  [0x858458f6, "ramfs"],
  [0x52654973, "reiserfs"],
  [0xfe534d42, "smb2"],
  [0x73717368, "squashfs"],
  [TMPFS_MAGIC, "tmpfs"],
  [0x01021997, "9p"],
  [0xa501fcf5, "vxfs"],
  [XFS_SUPER_MAGIC, "xfs"],
  [0x2fc12fc1, "zfs"],
]);

const BUFFER_SIZE = 120;

/** What statfs(2) tells that lamina uses. */
export interface FileSystemInfo {
  /** The magic number. */
  type: number;
  /** Docker's word for it; `<unknown>` where it has none. */
  name: string;
  /** Bytes an ordinary user may still take. */
  availableBytes: number;
  /** `ST_…` bits of the mount, which are those of mount(2) for `ro`, `nosuid`, `nodev` and `noexec`. */
  mountFlags: number;
}

function info(buffer: ArrayBuffer): FileSystemInfo {
  const fields = new BigUint64Array(buffer);
  const type = Number(BigInt.asUintN(32, fields[0]!));
  return {
    type,
    name: NAMES.get(type) ?? "<unknown>",
    availableBytes: Number(fields[4]! * fields[1]!),
    mountFlags: Number(fields[10]!),
  };
}

/** `statfs(path)`. See statfs(2). */
export function statfs(path: CPath): FileSystemInfo {
  const buffer = new Uint8Array(BUFFER_SIZE);
  if (libc.statfs(cpath(path), buffer) === -1) throw failure(lastErrno(), "statfs", path);
  return info(buffer.buffer);
}

/** The `type` of `statfs(path)`, or a negative errno. See statfs(2). */
export function tryStatfsType(path: CPath): number {
  return libc.statfs(cpath(path), typeBuffer) === -1 ? -lastErrno() : typeBuffer[0]!;
}

const typeBuffer = new Uint32Array(BUFFER_SIZE / 4);

/** `fstatfs(fd)`. See statfs(2). */
export function fstatfs(fd: number): FileSystemInfo {
  const buffer = new Uint8Array(BUFFER_SIZE);
  if (libc.fstatfs(fd, buffer) === -1) throw failure(lastErrno(), "fstatfs", fd);
  return info(buffer.buffer);
}

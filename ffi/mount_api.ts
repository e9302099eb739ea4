// SPDX-License-Identifier: Apache-2.0
// deno-lint-ignore-file camelcase -- functions keep their C names

/**
 * Mounts by descriptors: fsopen, fsconfig, fsmount, move_mount (Linux 5.2), open_tree, mount_setattr (5.12). Each option
 * is a call of its own, so nothing has to be escaped and no page bounds the sum of them.
 *
 * @module
 */

import { type CPath, cpath, cstring, textOf } from "./_cstring.ts";
import { lastErrno, libc, SYS } from "./_libc.ts";
import { failure, hex } from "./errno.ts";
import { AT_EMPTY_PATH } from "./file.ts";

const FSOPEN_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_SET_FD = 5;
const FSCONFIG_CMD_CREATE = 6;
const FSMOUNT_CLOEXEC = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
/** A symbolic link as `target` is followed. */
export const MOVE_MOUNT_T_SYMLINKS = 0x10;
const OPEN_TREE_CLONE = 1;
const O_CLOEXEC = 0o2000000;
const MOUNT_ATTR_IDMAP = 0x00100000n;
/** `struct mount_attr` (linux/mount.h), MOUNT_ATTR_SIZE_VER0: attr_set, attr_clr, propagation, userns_fd, 64 bits each. */
const MOUNT_ATTR_SIZE = 32n;
const EMPTY_PATH = new Uint8Array(1);

export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOEXEC = 0x8;

/** The longest value that `FSCONFIG_SET_STRING` takes: longer ones get EINVAL and no message. */
export const LONGEST_FSCONFIG_STRING = 255;

/** `fsopen(fstype, FSOPEN_CLOEXEC)`: a context descriptor, or a negative errno (ENOSYS before Linux 5.2). See fsopen(2). */
export function tryFsopen(fstype: string): number {
  const fd = libc.fsopen(SYS.fsopen, cpath(fstype), FSOPEN_CLOEXEC);
  return fd === -1 ? -lastErrno() : fd;
}

/** The keys of {@linkcode tryFsconfigString} as C strings: a mount of many layers gives the same one again and again. */
const KEYS = new Map(["lowerdir+", "upperdir", "workdir"].map((key) => [key, cstring(key)]));

/** `fsconfig(fd, FSCONFIG_SET_FLAG, key, NULL, 0)`: 0, or a negative errno. See fsconfig(2). */
export function tryFsconfigFlag(fd: number, key: string): number {
  return libc.fsconfig(SYS.fsconfig, fd, FSCONFIG_SET_FLAG, cpath(key), null, 0) === -1 ? -lastErrno() : 0;
}

/** `fsconfig(fd, FSCONFIG_SET_STRING, key, value, 0)`: 0, or a negative errno. See fsconfig(2). */
export function tryFsconfigString(fd: number, key: string, value: CPath): number {
  return libc.fsconfig(SYS.fsconfig, fd, FSCONFIG_SET_STRING, KEYS.get(key) ?? cpath(key), cpath(value), 0) === -1
    ? -lastErrno()
    : 0;
}

/** `fsconfig(fd, FSCONFIG_SET_FD, key, NULL, aux)`: 0, or a negative errno. See fsconfig(2). */
export function tryFsconfigFd(fd: number, key: string, aux: number): number {
  return libc.fsconfig(SYS.fsconfig, fd, FSCONFIG_SET_FD, cpath(key), null, aux) === -1 ? -lastErrno() : 0;
}

/** `fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0)`: 0, or a negative errno. See fsconfig(2). */
export function tryFsconfigCreate(fd: number): number {
  return libc.fsconfig(SYS.fsconfig, fd, FSCONFIG_CMD_CREATE, null, null, 0) === -1 ? -lastErrno() : 0;
}

/** `fsmount(fd, FSMOUNT_CLOEXEC, attributes)`: a mount that is attached nowhere yet. See fsmount(2). */
export function fsmount(fd: number, attributes: number): number {
  const mountFd = libc.fsmount(SYS.fsmount, fd, FSMOUNT_CLOEXEC, attributes);
  if (mountFd === -1) throw failure(lastErrno(), "fsmount", fd, hex(FSMOUNT_CLOEXEC), hex(attributes));
  return mountFd;
}

/**
 * `move_mount(mountFd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH | flags)`. See move_mount(2).
 *
 * @param flags {@linkcode MOVE_MOUNT_T_SYMLINKS}
 */
export function move_mount(mountFd: number, target: CPath, flags = 0): void {
  const all = MOVE_MOUNT_F_EMPTY_PATH | flags;
  if (libc.move_mount(SYS.move_mount, mountFd, EMPTY_PATH, -100, cpath(target), all) === -1) {
    throw failure(lastErrno(), "move_mount", mountFd, "", -100, target, hex(all));
  }
}

/**
 * `open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags)`: a detached copy of a mount. See open_tree(2).
 *
 * @param flags `AT_RECURSIVE`: with all that is mounted below.
 */
export function open_tree(path: CPath, flags = 0): number {
  const fd = libc.open_tree(SYS.open_tree, -100, cpath(path), OPEN_TREE_CLONE | O_CLOEXEC | flags);
  if (fd === -1) throw failure(lastErrno(), "open_tree", -100, path, hex(OPEN_TREE_CLONE | flags));
  return fd;
}

/**
 * `mount_setattr(treeFd, "", AT_EMPTY_PATH, {attr_set: MOUNT_ATTR_IDMAP, userns_fd})`: has a mount that is attached nowhere
 * yet show the ids on disk as those that the user namespace makes of them. See mount_setattr(2).
 */
export function mount_setattr_idmap(treeFd: number, userNamespaceFd: number): void {
  const attr = new Uint8Array(new BigUint64Array([MOUNT_ATTR_IDMAP, 0n, 0n, BigInt(userNamespaceFd)]).buffer);
  if (libc.mount_setattr(SYS.mount_setattr, treeFd, EMPTY_PATH, AT_EMPTY_PATH, attr, MOUNT_ATTR_SIZE) === -1) {
    throw failure(lastErrno(), "mount_setattr", treeFd, "", hex(AT_EMPTY_PATH), { userns_fd: userNamespaceFd });
  }
}

/**
 * `mount_setattr(mountFd, "", AT_EMPTY_PATH, {attr_set}, 32)`: sets attributes, takes none away; 0, or a negative errno
 * (ENOSYS before Linux 5.12). See mount_setattr(2).
 *
 * @param attributes `MOUNT_ATTR_…` bits.
 * @param flags `AT_RECURSIVE`: of all that is mounted below as well.
 */
export function tryMountSetattr(mountFd: number, attributes: number, flags = 0): number {
  // struct mount_attr (linux/mount.h): attr_set, attr_clr, propagation, userns_fd.
  const attr = new BigUint64Array([BigInt(attributes), 0n, 0n, 0n]);
  const empty = new Uint8Array(1);
  const size = BigInt(attr.byteLength);
  const result = libc.mount_setattr(
    SYS.mount_setattr,
    mountFd,
    empty,
    AT_EMPTY_PATH | flags,
    new Uint8Array(attr.buffer),
    size,
  );
  return result === -1 ? -lastErrno() : 0;
}

/** The messages the kernel left in a context, joined; "" if it left none. Read it only after errno is saved. */
export function fsContextMessages(fd: number): string {
  const messages: string[] = [];
  const buffer = new Uint8Array(1024);
  for (;;) {
    const length = libc.read(fd, buffer, 1024n);
    if (length <= 0) return messages.join("; ");
    // Each begins with its level: "e overlay: Unknown parameter 'x'".
    messages.push(textOf(buffer.subarray(0, length)).replace(/^[ewi] /, "").trim());
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Making a directory the root of this process, with what programs expect to find in a root: `/proc`, `/dev`, `/sys` and
 * `/etc/resolv.conf`. For a process that has a mount namespace and a process namespace of its own.
 *
 * What the host lends is copied from outside before the process enters, as mounts that are attached nowhere (open_tree(2),
 * Linux 5.2), and is attached after that by names that the kernel resolves in the new root. So wherever symbolic links in
 * there lead, nothing is mounted outside.
 *
 * @module
 */

import { failure, isErrno } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  AT_RECURSIVE,
  Fd,
  mkdirat,
  O_CREAT,
  O_WRONLY,
  openat,
  symlinkat,
  tryMkdirat,
} from "../../ffi/file.ts";
import { mount, MS_NODEV, MS_NOEXEC, MS_NOSUID } from "../../ffi/mount.ts";
import {
  MOUNT_ATTR_RDONLY,
  move_mount,
  MOVE_MOUNT_T_SYMLINKS,
  open_tree,
  tryMountSetattr,
} from "../../ffi/mount_api.ts";
import { chroot } from "../../ffi/process.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import { asStorageError, StorageError } from "../errors.ts";

/** Devices that do no harm, of which a program may count on finding them. */
const DEVICES = ["null", "zero", "full", "random", "urandom", "tty"] as const;
const DEVICE_LINKS: Readonly<Record<string, string>> = {
  fd: "/proc/self/fd",
  stdin: "/proc/self/fd/0",
  stdout: "/proc/self/fd/1",
  stderr: "/proc/self/fd/2",
  ptmx: "pts/ptmx",
};
const DIRECTORY_MODE = 0o755;
const FILE_MODE = 0o644;
const RESOLV_CONF = "/etc/resolv.conf";

/**
 * Makes `root` the root and the working directory of this process. `/proc`, `/dev`, `/sys` and the file in `/etc` are made,
 * empty, where they lack; what has no place, since nothing can be written, is left out.
 *
 * @throws {StorageError} `not_supported`: the kernel is older than Linux 5.12; `permission_denied`, `system_error`.
 */
export function enterRoot(root: string): void {
  try {
    enter(root);
  } catch (error) {
    const action = `Cannot make ${root} the root of a process`;
    if (!isErrno(error, "ENOSYS")) throw asStorageError(error, action);
    throw new StorageError("not_supported", `${action}: this needs Linux 5.12`, { cause: error });
  }
}

function enter(root: string): void {
  using undo = new DisposableStack();
  const devices = DEVICES.map((name) => ({ name, tree: undo.use(new Fd(open_tree(`/dev/${name}`))) }));
  const sys = undo.use(readOnlyCopy("/sys"));
  const resolvConf = isFile(RESOLV_CONF) ? undo.use(readOnlyCopy(RESOLV_CONF)) : undefined;
  chroot(root);
  Deno.chdir("/");
  if (hasDirectory("/proc")) mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, null);
  if (hasDirectory("/sys")) attach(sys, "/sys");
  if (hasDirectory("/dev")) fillDev(devices);
  if (resolvConf !== undefined && hasFile(RESOLV_CONF)) attach(resolvConf, RESOLV_CONF);
}

function fillDev(devices: readonly { name: string; tree: Fd }[]): void {
  mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k");
  for (const { name, tree } of devices) {
    makeFile(`/dev/${name}`);
    attach(tree, `/dev/${name}`);
  }
  for (const [name, target] of Object.entries(DEVICE_LINKS)) symlinkat(target, AT_FDCWD, `/dev/${name}`);
  mkdirat(AT_FDCWD, "/dev/pts", DIRECTORY_MODE);
  mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
  mkdirat(AT_FDCWD, "/dev/shm", DIRECTORY_MODE);
  mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777");
}

/** What is at `path`, with all that is mounted below, so that nothing of it can be changed. */
function readOnlyCopy(path: string): Fd {
  using undo = new DisposableStack();
  const tree = undo.use(new Fd(open_tree(path, AT_RECURSIVE)));
  const result = tryMountSetattr(tree.fd, MOUNT_ATTR_RDONLY, AT_RECURSIVE);
  if (result < 0) throw failure(-result, "mount_setattr", path, "MOUNT_ATTR_RDONLY");
  undo.move();
  return tree;
}

function attach(tree: Fd, path: string): void {
  move_mount(tree.fd, path, MOVE_MOUNT_T_SYMLINKS);
}

/** Whether there is such a directory, which is made if that can be. */
function hasDirectory(path: string): boolean {
  // It is there, or cannot be made: the next look tells.
  tryMkdirat(AT_FDCWD, path, DIRECTORY_MODE);
  return lookAt(path)?.isDirectory ?? false;
}

/** As {@linkcode hasDirectory}; through a link that leads nowhere, the file is made where it leads. */
function hasFile(path: string): boolean {
  if (lookAt(path) === undefined) {
    try {
      makeFile(path);
    } catch {
      // As above.
    }
  }
  return isFile(path);
}

function makeFile(path: string): void {
  using _file = new Fd(openat(AT_FDCWD, path, O_WRONLY | O_CREAT, FILE_MODE));
}

function isFile(path: string): boolean {
  return lookAt(path)?.isFile ?? false;
}

/** What `path` leads to. By the C library: Deno asks for every permission to do anything in `/dev` and `/proc`. */
function lookAt(path: string): Stat | undefined {
  const stat = new Stat();
  return tryStatx(AT_FDCWD, path, 0, stat) === 0 ? stat : undefined;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Mounting an overlay by fsopen(2) and one fsconfig(2) a layer (`lowerdir+`, Linux 6.8). No page bounds the sum of the names,
 * and up to 500 layers fit. Names need no escaping: those that are too long, or hold a backslash, go by descriptor.
 *
 * @module
 */

import { ERRNO, failure } from "../../ffi/errno.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_PATH, openat } from "../../ffi/file.ts";
import {
  fsContextMessages,
  fsmount,
  LONGEST_FSCONFIG_STRING,
  move_mount,
  tryFsconfigCreate,
  tryFsconfigFd,
  tryFsconfigFlag,
  tryFsconfigString,
  tryFsopen,
} from "../../ffi/mount_api.ts";
import { mountFailed } from "./mount_explanation.ts";
import { MOUNT_FLAGS, splitOption } from "./mount_options.ts";
import type { OverlayMount } from "./overlay.ts";

/**
 * Mounts `overlay` at `target`; false if the kernel cannot, which shows in its answer to the first layer.
 *
 * @throws {StorageError} `mount_failed`. {SyscallError}
 */
export function mountNew(overlay: OverlayMount, target: string): boolean {
  const contextFd = tryFsopen("overlay");
  if (contextFd === -ERRNO.ENOSYS) return false;
  if (contextFd < 0) throw failure(-contextFd, "fsopen", "overlay");
  using context = new Fd(contextFd);
  if (!(refusesWrongOptions ??= findOut())) return false;
  const requireDone = (result: number, key: string, value?: string): void => {
    if (result >= 0) return;
    throw mountFailed(failure(-result, "fsconfig", key, value), overlay, target, fsContextMessages(contextFd));
  };
  for (const lowerDir of overlay.lowerDirs) {
    const result = setPath(contextFd, "lowerdir+", lowerDir);
    if (result >= 0) continue;
    const said = fsContextMessages(contextFd);
    // The paths themselves are looked at later, so an unknown parameter is what this says.
    if (result === -ERRNO.EINVAL && /unknown parameter/i.test(said)) return false;
    throw mountFailed(failure(-result, "fsconfig", "lowerdir+", lowerDir), overlay, target, said);
  }
  if (overlay.upper !== undefined) {
    const { upperDir, workDir } = overlay.upper;
    requireDone(setPath(context.fd, "upperdir", upperDir), "upperdir", upperDir);
    requireDone(setPath(context.fd, "workdir", workDir), "workdir", workDir);
  }
  for (const option of overlay.options) {
    const flag = MOUNT_FLAGS.get(option);
    if (flag !== undefined && flag.ofFileSystem !== true) continue;
    const [key, value] = splitOption(option);
    const result = value === undefined ? tryFsconfigFlag(context.fd, key) : tryFsconfigString(context.fd, key, value);
    requireDone(result, key, value);
  }
  requireDone(tryFsconfigCreate(context.fd), "create");
  using mountFd = new Fd(fsmount(context.fd, attributesOf(overlay)));
  move_mount(mountFd.fd, target);
  return true;
}

/**
 * Overlayfs before Linux 6.5 has no part in fsconfig(2): the kernel collects any options for it, and all that is said of
 * them in the end is EINVAL. So one is tried that nobody has.
 */
let refusesWrongOptions: boolean | undefined;

function findOut(): boolean {
  const contextFd = tryFsopen("overlay");
  if (contextFd < 0) throw failure(-contextFd, "fsopen", "overlay");
  using context = new Fd(contextFd);
  return tryFsconfigFlag(context.fd, "no-such-option") < 0;
}

function setPath(contextFd: number, key: string, path: string): number {
  // As UTF-8 a character has three bytes at most.
  const fits = path.length <= LONGEST_FSCONFIG_STRING / 3 ||
    new TextEncoder().encode(path).length <= LONGEST_FSCONFIG_STRING;
  // Kernels differ in whether they take a backslash for an escape, and in which of the keys: a descriptor has none.
  if (fits && !path.includes("\\")) return tryFsconfigString(contextFd, key, path);
  using directory = new Fd(openat(AT_FDCWD, path, O_PATH | O_DIRECTORY));
  const result = tryFsconfigFd(contextFd, key, directory.fd);
  // Descriptors came to overlayfs later than lowerdir+ itself; their name in /proc did always.
  return result === -ERRNO.EINVAL ? tryFsconfigString(contextFd, key, `/proc/self/fd/${directory.fd}`) : result;
}

function attributesOf({ upper, options }: OverlayMount): number {
  const all = upper === undefined ? [...options, "ro"] : options;
  return all.reduce((bits, option) => bits | (MOUNT_FLAGS.get(option)?.attribute ?? 0), 0);
}

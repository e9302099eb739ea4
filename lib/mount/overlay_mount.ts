// SPDX-License-Identifier: Apache-2.0

/**
 * Mounting an overlay. Two interfaces of the kernel can do it:
 *
 * - `new`: fsopen(2) and one fsconfig(2) a layer (`lowerdir+`, Linux 6.8). Names need no escaping (those that are too
 *   long, or hold a backslash, go by descriptor), and up to 500 layers fit.
 * - `classic`: mount(2) with all options in one string, of which the kernel reads one page and drops the rest without a
 *   word. So the bytes are counted here.
 *
 * The newer one is tried first; that the kernel lacks it shows in its answer to the first layer.
 *
 * @module
 */

import { ERRNO, failure, SyscallError } from "../../ffi/errno.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_PATH, openat } from "../../ffi/file.ts";
import { mount, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from "../../ffi/mount.ts";
import {
  fsContextMessages,
  fsmount,
  LONGEST_FSCONFIG_STRING,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  move_mount,
  tryFsconfigCreate,
  tryFsconfigFd,
  tryFsconfigFlag,
  tryFsconfigString,
  tryFsopen,
} from "../../ffi/mount_api.ts";
import { getpagesize } from "../../ffi/process.ts";
import { StorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";

/** Which interface mounts. `auto`: the newer one where the kernel has it. */
export type MountApi = "auto" | "new" | "classic";

/** An overlay as a plain value. */
export interface OverlayMount {
  /** Uppermost first; at least one, or two without an upper directory. */
  lowerDirs: readonly string[];
  /** Where changes go; without it the mount is read-only. */
  upper: { upperDir: string; workDir: string } | undefined;
  /** Further options, each `key` or `key=value`, as the kernel spells them. */
  options: readonly string[];
  /** Files that have the container's ids on disk are seen with the host's; only mount programs do that. */
  idMaps?: IdMaps | undefined;
}

/** Set once the kernel has refused the newer interface. */
let newApiIsMissing = false;

/**
 * Mounts `overlay` at the directory `target`.
 *
 * @throws {StorageError} `mount_failed` with what the kernel said; `not_supported` if `api` is `new` and the kernel lacks it.
 */
export function mountOverlay(overlay: OverlayMount, target: string, api: MountApi = "auto"): void {
  try {
    if (api !== "classic" && !newApiIsMissing && mountNew(overlay, target)) return;
    if (api === "new") {
      throw new StorageError(
        "not_supported",
        "Cannot mount by fsopen(2): this kernel lacks it, or overlayfs lacks lowerdir+",
        {
          hint: "Linux 6.8 or newer has both; leave out --mount-api new",
        },
      );
    }
    newApiIsMissing ||= api === "auto";
    mountClassic(overlay, target);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw mountFailed(error, target);
  }
}

/** @param said What the kernel left in the context of a mount; mostly nothing. */
function mountFailed(cause: SyscallError, target: string, said = ""): StorageError {
  const hint = HINTS.get(cause.errno);
  const reason = said === "" ? cause.message : `${cause.message}: ${said}`;
  return new StorageError("mount_failed", `Cannot mount an overlay at ${target}: ${reason}`, {
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}

const HINTS: ReadonlyMap<number, string> = new Map([
  [ERRNO.EPERM, "mounting needs CAP_SYS_ADMIN: run as root"],
  [ERRNO.ENOENT, "one of the layer's directories, or a link in l/, is missing"],
  [ERRNO.ELOOP, "a link in l/ leads nowhere: a link file of a layer may be empty"],
  [ERRNO.EBUSY, "another overlay mount uses the layer's upper or work directory, perhaps in another mount namespace"],
  [ERRNO.ENODEV, "the kernel has no overlayfs: modprobe overlay"],
  [ERRNO.ESTALE, "the work directory belongs to another upper directory"],
  [ERRNO.EINVAL, "dmesg | tail may tell which option or directory the kernel did not like"],
]);

/** Mounts by fsopen(2); false if the kernel cannot. */
function mountNew(overlay: OverlayMount, target: string): boolean {
  const contextFd = tryFsopen("overlay");
  if (contextFd === -ERRNO.ENOSYS) return false;
  if (contextFd < 0) throw failure(-contextFd, "fsopen", "overlay");
  using context = new Fd(contextFd);
  const require = (result: number, key: string, value?: string): void => {
    if (result < 0) throw mountFailed(failure(-result, "fsconfig", key, value), target, fsContextMessages(contextFd));
  };
  for (const [i, lowerDir] of overlay.lowerDirs.entries()) {
    const result = setPath(context.fd, "lowerdir+", lowerDir);
    // The paths themselves are looked at later, so an unknown parameter is what this says.
    if (i === 0 && result === -ERRNO.EINVAL && /unknown parameter/i.test(fsContextMessages(context.fd))) return false;
    require(result, "lowerdir+", lowerDir);
  }
  if (overlay.upper !== undefined) {
    const { upperDir, workDir } = overlay.upper;
    require(setPath(context.fd, "upperdir", upperDir), "upperdir", upperDir);
    require(setPath(context.fd, "workdir", workDir), "workdir", workDir);
  }
  for (const option of overlay.options) {
    if (MOUNT_FLAGS.has(option)) continue;
    const [key, value] = splitOption(option);
    const result = value === undefined ? tryFsconfigFlag(context.fd, key) : tryFsconfigString(context.fd, key, value);
    require(result, key, value);
  }
  require(tryFsconfigCreate(context.fd), "create");
  using mountFd = new Fd(fsmount(context.fd, flagsOf(overlay, "attribute")));
  move_mount(mountFd.fd, target);
  return true;
}

function setPath(contextFd: number, key: string, path: string): number {
  const fits = new TextEncoder().encode(path).length <= LONGEST_FSCONFIG_STRING;
  // Kernels differ in whether they take a backslash for an escape, and in which of the keys: a descriptor has none.
  if (fits && !path.includes("\\")) return tryFsconfigString(contextFd, key, path);
  using directory = new Fd(openat(AT_FDCWD, path, O_PATH | O_DIRECTORY));
  const result = tryFsconfigFd(contextFd, key, directory.fd);
  // Descriptors came to overlayfs later than lowerdir+ itself; their name in /proc did always.
  return result === -ERRNO.EINVAL ? tryFsconfigString(contextFd, key, `/proc/self/fd/${directory.fd}`) : result;
}

/** Options that are no matter of overlayfs but of every mount, with their bit in fsmount(2) and in mount(2). */
const MOUNT_FLAGS: ReadonlyMap<string, { attribute: number; flag: number }> = new Map([
  ["rw", { attribute: 0, flag: 0 }],
  ["ro", { attribute: MOUNT_ATTR_RDONLY, flag: MS_RDONLY }],
  ["nosuid", { attribute: MOUNT_ATTR_NOSUID, flag: MS_NOSUID }],
  ["nodev", { attribute: MOUNT_ATTR_NODEV, flag: MS_NODEV }],
  ["noexec", { attribute: MOUNT_ATTR_NOEXEC, flag: MS_NOEXEC }],
]);

function flagsOf({ upper, options }: OverlayMount, kind: "attribute" | "flag"): number {
  const all = upper === undefined ? [...options, "ro"] : options;
  return all.reduce((bits, option) => bits | (MOUNT_FLAGS.get(option)?.[kind] ?? 0), 0);
}

function splitOption(option: string): [key: string, value: string | undefined] {
  const equals = option.indexOf("=");
  return equals === -1 ? [option, undefined] : [option.slice(0, equals), option.slice(equals + 1)];
}

/** What divides layers, options and escapes must not do so inside a path. */
function escapePath(path: string): string {
  return path.replace(/[\\:,]/g, "\\$&");
}

/** An SELinux context has commas in it; security modules read quotes before overlayfs sees the string. */
function quoteLabel(option: string): string {
  return option.replace(/^((?:fs|def|root)?context)=(.*)$/, '$1="$2"');
}

/** The one string of options that mount(2) takes. */
export function overlayMountData(overlay: OverlayMount): string {
  const parts = overlay.options.filter((option) => !MOUNT_FLAGS.has(option)).map(quoteLabel);
  parts.push(`lowerdir=${overlay.lowerDirs.map(escapePath).join(":")}`);
  if (overlay.upper !== undefined) {
    parts.push(`upperdir=${escapePath(overlay.upper.upperDir)}`, `workdir=${escapePath(overlay.upper.workDir)}`);
  }
  return parts.join(",");
}

function mountClassic(overlay: OverlayMount, target: string): void {
  const data = overlayMountData(overlay);
  const length = new TextEncoder().encode(data).length;
  const limit = getpagesize() - 1;
  if (length > limit) {
    throw new StorageError(
      "mount_failed",
      `Cannot mount an overlay at ${target}: the names of its ${overlay.lowerDirs.length} lower layers take ${length} bytes, and mount(2) reads ${limit}`,
      { hint: "Linux 6.8 or newer has no such limit; here, a home with a shorter path helps" },
    );
  }
  mount("overlay", target, "overlay", flagsOf(overlay, "flag"), data);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Why the kernel refused a mount, in words: its own where it left any, and otherwise what can be seen from here of what its
 * error number means. Nothing of this is done for a mount that succeeds.
 *
 * @module
 */

import type { ErrnoCode, SyscallError } from "../../ffi/errno.ts";
import { AT_FDCWD, existsat, readlinkat } from "../../ffi/file.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import { statfs } from "../../ffi/statfs.ts";
import { StorageError } from "../errors.ts";
import { CAP_SYS_ADMIN, hasCapability } from "../util/capabilities.ts";
import { textOf } from "../util/text.ts";
import { readTextFile, readTextFileIfExists } from "../util/read_file.ts";
import { kernelLog } from "./kernel_log.ts";
import { describeHolder, findHolder } from "./mount_holders.ts";
import type { OverlayMount } from "./overlay.ts";
import { isInUserNamespace } from "./user_namespace.ts";

/** What is known of a failure. */
interface Explanation {
  /** What is wrong, to follow the failed call; left out where it can only be guessed. */
  reason?: string | undefined;
  /** What to do about it. */
  hint: string;
}

/**
 * The error for a mount that the kernel refused.
 *
 * @param said What the kernel left in the context of the mount; mostly nothing.
 */
export function mountFailed(cause: SyscallError, overlay: OverlayMount, target: string, said = ""): StorageError {
  const { reason, hint } = EXPLAIN[cause.code as ErrnoCode]?.(overlay, target) ?? {
    hint: "dmesg | tail may tell more",
  };
  const reasons = [cause.message, said === "" ? kernelLog("overlayfs:") : said, reason ?? ""];
  const message = reasons.filter((part) => part !== "").join(": ");
  return new StorageError("mount_failed", `Cannot mount an overlay at ${target}: ${message}`, { cause, hint });
}

const EXPLAIN: { readonly [code in ErrnoCode]?: (overlay: OverlayMount, target: string) => Explanation } = {
  EPERM: explainPermission,
  EACCES: explainPermission,
  ENOENT: explainMissing,
  ENOTDIR: explainMissing,
  ELOOP: (overlay, target) => missing(overlay, target) ?? explainOverlap(overlay),
  EBUSY: explainBusy,
  ENOSPC: explainSpace,
  EDQUOT: () => ({ hint: "a quota on the work directory's file system is used up" }),
  EROFS: () => ({ hint: "the upper directory's file system is read-only: mount the layer read-only" }),
  ENODEV: () => ({ reason: "the kernel has no overlayfs", hint: "modprobe overlay" }),
  ESTALE: () => ({
    reason: "the upper directory was last mounted over other lower layers, or with another work directory",
    hint: "mount it without index=on, or as it was mounted before",
  }),
  EINVAL: explainInvalid,
};

function explainPermission(): Explanation {
  if (!hasCapability(CAP_SYS_ADMIN)) {
    return {
      reason: "this process lacks the capability CAP_SYS_ADMIN",
      hint: "run as root, be it of a user namespace: lamina unshare -- PROGRAM",
    };
  }
  if (isInUserNamespace()) {
    return { reason: "this is a user namespace", hint: "overlay mounts in user namespaces need Linux 5.11 or newer" };
  }
  return {
    reason: "this process has the capability CAP_SYS_ADMIN, so something else forbids it",
    hint: "look for a seccomp filter or a profile of AppArmor or SELinux, as containers have",
  };
}

function explainMissing(overlay: OverlayMount, target: string): Explanation {
  return missing(overlay, target) ?? { hint: "one of the layer's directories was missing a moment ago" };
}

/** Says which directory of the mount is not there, if any. */
function missing({ lowerDirs, upper }: OverlayMount, target: string): Explanation | undefined {
  const directories = [...lowerDirs, ...(upper === undefined ? [] : [upper.upperDir, upper.workDir]), target];
  const path = directories.find((directory) => tryStatx(AT_FDCWD, `${directory}/.`, 0, new Stat()) !== 0);
  if (path === undefined) return undefined;
  const link = linkTarget(path);
  if (link !== undefined) {
    return { reason: `the link ${path} leads to ${link}, which is no directory`, hint: "restore what it leads to" };
  }
  const isThere = existsat(AT_FDCWD, path);
  return { reason: `${path} ${isThere ? "is no directory" : "is missing"}`, hint: "restore it, or remove the layer" };
}

function linkTarget(path: string): string | undefined {
  const stat = new Stat();
  try {
    return tryStatx(AT_FDCWD, path, 0, stat) === 0 ? undefined : textOf(readlinkat(AT_FDCWD, path));
  } catch {
    // Not a link, or not there at all.
    return undefined;
  }
}

/** Overlayfs wants directories of which none is in another. */
function explainOverlap({ lowerDirs, upper }: OverlayMount): Explanation {
  const hint = "each layer has to be a directory of its own: a link file of a layer may be wrong";
  const seen = new Map<string, string>();
  for (const path of [...lowerDirs, ...(upper === undefined ? [] : [upper.upperDir, upper.workDir])]) {
    const stat = new Stat();
    if (tryStatx(AT_FDCWD, path, 0, stat) !== 0) continue;
    const other = seen.get(stat.fileKey);
    if (other !== undefined) return { reason: `${other} and ${path} are the same directory`, hint };
    seen.set(stat.fileKey, path);
  }
  return { reason: "one of the directories lies in another", hint };
}

function explainBusy({ upper }: OverlayMount, target: string): Explanation {
  const holder = upper === undefined ? undefined : findHolder(upper);
  if (holder === undefined) {
    return { hint: `another mount uses the layer's upper or work directory, or ${target} itself` };
  }
  return { reason: describeHolder(holder), hint: `unmount it there: umount ${holder.mountPoint}` };
}

function explainSpace({ upper }: OverlayMount): Explanation {
  const limit = Number(readTextFileIfExists("/proc/sys/fs/mount-max") ?? "0");
  if (readTextFile("/proc/self/mountinfo").split("\n").length > limit) {
    return { reason: `there are ${limit} mounts already`, hint: "raise fs.mount-max: sysctl fs.mount-max" };
  }
  const path = upper?.workDir;
  const isFull = path !== undefined && existsat(AT_FDCWD, path) && statfs(path).availableBytes === 0;
  return {
    reason: isFull ? `the file system of ${path} is full` : undefined,
    hint: "free some space or inodes (df -h, df -i): overlayfs makes a directory in the work directory",
  };
}

function explainInvalid(overlay: OverlayMount, target: string): Explanation {
  const absent = missing(overlay, target);
  if (absent !== undefined) return absent;
  const { upper } = overlay;
  const hint = "dmesg | tail may tell which option or directory the kernel did not like";
  if (upper === undefined) return { hint };
  const { upperDir, workDir } = upper;
  const volatileMark = `${workDir}/work/incompat/volatile`;
  if (existsat(AT_FDCWD, volatileMark)) {
    return {
      reason: "it was last mounted with volatile, so that not all that was written need be on the disk",
      hint: `if the machine has not gone down since, rm -r ${volatileMark}; otherwise make the layer anew`,
    };
  }
  const [upperStat, workStat] = [new Stat(), new Stat()];
  if (tryStatx(AT_FDCWD, upperDir, 0, upperStat) !== 0 || tryStatx(AT_FDCWD, workDir, 0, workStat) !== 0) {
    return { hint };
  }
  const deviceOf = (stat: Stat): string => stat.fileKey.split(":", 2).join(":");
  if (deviceOf(upperStat) !== deviceOf(workStat)) {
    return { reason: `${upperDir} and ${workDir} lie on different file systems`, hint: "put them on the same one" };
  }
  if (workDir.startsWith(`${upperDir}/`) || upperDir.startsWith(`${workDir}/`)) {
    return { reason: `of ${upperDir} and ${workDir} one lies in the other`, hint: "put them beside each other" };
  }
  return { hint };
}

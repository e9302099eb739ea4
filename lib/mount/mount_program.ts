// SPDX-License-Identifier: Apache-2.0

/**
 * Mounting an overlay by an external program, mostly fuse-overlayfs, where the kernel's own overlayfs cannot or may not:
 * called as containers/storage calls it, `PROGRAM -o lowerdir=…,upperdir=…,workdir=… TARGET`, never through a shell.
 *
 * The program mounts, goes into the background, and serves the mount from there until that is taken down. It may also
 * die before: then the mount is still in the way, and every use of it fails with ENOTCONN.
 *
 * It is waited for without blocking this thread. How long it takes is the program's to say, milliseconds or for ever,
 * and one that keeps its standard error open in the background would hold up who reads that to its end; so the exit
 * status counts, and what was said until then.
 *
 * @module
 */

import { ERRNO, isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, close, Fd, O_DIRECTORY, O_RDONLY, O_RDWR, openat, syncfs, tryOpenat } from "../../ffi/file.ts";
import { lstatat, statat } from "../../ffi/stat.ts";
import { statfs } from "../../ffi/statfs.ts";
import { StorageError } from "../errors.ts";
import type { IdMap } from "../id_map.ts";
import { type ProgramEnd, runProgram } from "../util/run_program.ts";
import type { OverlayMount } from "./overlay_mount.ts";
import { unmountLazily } from "./unmount.ts";

/** After that long a program that has not gone into the background is killed. */
const LONGEST_START_MS = 30_000;
/** A program may leave its first process before its second one has mounted. */
const LONGEST_DELAY_MS = 1_000;
const POLL_MS = 5;
/** What a program talks through to the kernel. */
const FUSE_DEVICE = "/dev/fuse";

/**
 * Makes sure that `program` can be run.
 *
 * @throws {StorageError} `invalid_argument`: its path is not absolute, or there is no executable file.
 */
export function requireMountProgram(program: string): void {
  const reason = reasonNotToRun(program);
  if (reason === undefined) return;
  throw new StorageError("invalid_argument", `Cannot mount by the program "${program}": ${reason}`, {
    hint: "name an executable by its absolute path: /usr/bin/fuse-overlayfs (Debian: apt-get install fuse-overlayfs)",
  });
}

function reasonNotToRun(program: string): string | undefined {
  if (!program.startsWith("/")) return "its path is not absolute";
  try {
    const { mode, isFile } = statat(AT_FDCWD, program);
    if (!isFile) return "it is not a file";
    return (mode & 0o111) === 0 ? "it is not executable" : undefined;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return "it is not there";
    throw error;
  }
}

/** libfuse divides options at commas, and takes a backslash for an escape. */
function escapeOption(option: string): string {
  return option.replace(/[\\,]/g, "\\$&");
}

/** One id is not mapped but given to all files, so that a user without further ids can have any layer. */
function idOption(kind: "uid" | "gid", maps: readonly IdMap[]): string[] {
  const [first] = maps;
  if (first === undefined) return [];
  if (maps.length === 1 && first.size === 1) return [`squash_to_${kind}=${first.hostId}`];
  const numbers = maps.flatMap(({ containerId, hostId, size }) => [containerId, hostId, size]);
  return [`${kind}mapping=${numbers.join(":")}`];
}

/**
 * The one string of options that the program takes.
 *
 * @throws {StorageError} `not_supported`: a colon in a path, for which the program knows no escape.
 */
export function mountProgramData(overlay: OverlayMount): string {
  const { lowerDirs, upper, options, idMaps } = overlay;
  const directories = upper === undefined ? [] : [upper.upperDir, upper.workDir];
  const unusable = [...lowerDirs, ...directories].find((path) => path.includes(":"));
  if (unusable !== undefined) {
    throw new StorageError("not_supported", `Cannot mount "${unusable}" by a program: there is a colon in its path`, {
      hint: "mount programs divide layers at colons: keep the layers in a home without one",
    });
  }
  const parts = [`lowerdir=${lowerDirs.join(":")}`];
  if (upper !== undefined) parts.push(`upperdir=${upper.upperDir}`, `workdir=${upper.workDir}`);
  parts.push(...options);
  if (upper === undefined && !options.includes("ro")) parts.push("ro");
  if (idMaps !== undefined) parts.push(...idOption("uid", idMaps.uidMaps), ...idOption("gid", idMaps.gidMaps));
  return parts.map(escapeOption).join(",");
}

/** Options of fuse-overlayfs by which files are seen with other owners than they have on disk. */
const OWNER_OPTION_REGEXP = /^(?:squash_to_(?:root|uid|gid)|[ug]idmapping)(?:=|$)/;

/** The same overlay, its files with the owners that they have on disk. */
export function withStoredOwners({ lowerDirs, upper, options }: OverlayMount): OverlayMount {
  return { lowerDirs, upper, options: options.filter((option) => !OWNER_OPTION_REGEXP.test(option)) };
}

/** What is to be seen at a mount point: `dead` is a mount whose program has ended, and which is in the way. */
export type MountState = "none" | "mounted" | "dead";

/** Whether a program has something mounted at the directory `target`, and still serves it. */
export function programMountState(target: string): MountState {
  try {
    // Attributes may come from the kernel's cache; this question goes to the program.
    statfs(target);
    return isMountPoint(target) ? "mounted" : "none";
  } catch (error) {
    if (isErrno(error, "ENOTCONN", "ECONNABORTED")) return "dead";
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return "none";
    throw error;
  }
}

/** Whatever the program mounts is a device of its own. */
function isMountPoint(target: string): boolean {
  const seen = lstatat(AT_FDCWD, target);
  const around = statat(AT_FDCWD, target.slice(0, target.lastIndexOf("/")) || "/");
  return seen.devMajor !== around.devMajor || seen.devMinor !== around.devMinor;
}

/**
 * Has `program` mount `overlay` at the directory `target`, and waits until it is there.
 *
 * @returns What the program said about it, such as options that it does not know.
 * @throws {StorageError} `mount_failed` with what the program said; `not_supported`: see {@linkcode mountProgramData}.
 */
export async function mountByProgram(program: string, overlay: OverlayMount, target: string): Promise<string> {
  const args = ["-o", mountProgramData(overlay), target];
  const end = await runProgram(program, args, LONGEST_START_MS);
  const state = end.isSuccess ? await arrival(target) : programMountState(target);
  if (end.isSuccess && state === "mounted") return end.said;
  // One that failed may have mounted before.
  if (state !== "none") unmountLazily(target);
  throw new StorageError(
    "mount_failed",
    `Cannot mount an overlay at ${target}: ${program} ${whatWentWrong(end, state)}: ${end.said || "it said nothing"}`,
    { cause: end.cause, ...hintOf(end) },
  );
}

/** Waits until a mount is at `target`; not for ever. */
async function arrival(target: string): Promise<MountState> {
  const deadline = performance.now() + LONGEST_DELAY_MS;
  for (;;) {
    const state = programMountState(target);
    if (state !== "none" || performance.now() > deadline) return state;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function whatWentWrong(end: ProgramEnd, state: MountState): string {
  if (!end.isSuccess) return end.how;
  return state === "dead" ? "mounted, and ended" : "ended without an error, but nothing is mounted";
}

function hintOf(end: ProgramEnd): { hint?: string } {
  if (end.cause !== undefined) return { hint: "name an executable by its absolute path: /usr/bin/fuse-overlayfs" };
  const device = tryOpenat(AT_FDCWD, FUSE_DEVICE, O_RDWR);
  if (device >= 0) close(device);
  if (device === -ERRNO.ENOENT) {
    return { hint: `there is no ${FUSE_DEVICE}: modprobe fuse, or give it to the container` };
  }
  return device < 0 ? { hint: `${FUSE_DEVICE} cannot be opened: see its owner and mode (ls -l ${FUSE_DEVICE})` } : {};
}

/** Unmount programs, the newest first; they also tell user-space records of mounts. */
const UNMOUNT_PROGRAMS = ["fusermount3", "fusermount"] as const;

/**
 * Unmounts what a program has mounted at `target`. Nothing mounted there is no error. If it is in use, who has files
 * open keeps them; what was written is with the layer by then.
 *
 * @throws {SyscallError} EPERM: somebody else's mount.
 */
export async function unmountProgram(target: string): Promise<void> {
  const state = programMountState(target);
  if (state === "none") return;
  if (state === "mounted") {
    for (const program of UNMOUNT_PROGRAMS) {
      const { isSuccess } = await runProgram(program, ["-u", target], LONGEST_START_MS);
      if (isSuccess) return;
    }
    flushIfPossible(target);
  }
  unmountLazily(target);
}

/**
 * Has everything that was written to the mount at `target` given to its program, which passes it on at once.
 *
 * @throws {SyscallError} EIO, ENOSPC: that could not be done.
 */
export function flush(target: string): void {
  using directory = new Fd(openat(AT_FDCWD, target, O_RDONLY | O_DIRECTORY));
  syncfs(directory.fd);
}

/** After a lazy unmount nobody waits for what is still to be written. */
function flushIfPossible(target: string): void {
  try {
    flush(target);
  } catch (error) {
    // A mount that cannot write any more must still come down.
    if (!isErrno(error, "ENOTCONN", "ECONNABORTED", "EIO", "ENOSPC", "EACCES")) throw error;
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What overlayfs can do in one directory, found by trying it: one mount of three small layers answers everything.
 *
 * @module
 */

import { DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { isErrno, SyscallError } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  Fd,
  mkdirat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  openat,
  renameat2,
} from "../../ffi/file.ts";
import { fchmodat } from "../../ffi/owner.ts";
import { geteuid } from "../../ffi/process.ts";
import { statfs } from "../../ffi/statfs.ts";
import { lgetxattr, lsetxattr } from "../../ffi/xattr.ts";
import { isStorageError, StorageError } from "../errors.ts";
import type { IdMap, IdMaps } from "../id_map.ts";
import { makeLockedDirectory } from "../util/directory_lock.ts";
import { randomId } from "../util/random_id.ts";
import { removeTree } from "../util/remove_tree.ts";
import { mountIdMapped } from "./mount_id_mapped.ts";
import { type MountApi, mountOverlay } from "./overlay_mount.ts";
import { unmountLazily } from "./unmount.ts";
import { isInUserNamespace } from "./user_namespace.ts";

/** What was found out. Plain data: it is kept in the run root as JSON. */
export interface OverlayFeatures {
  /** Docker's name of the file system that the layers lie on. */
  backingFileSystem: string;
  /** The options that every mount has: see {@linkcode probeOverlay}. */
  mountOptions: string[];
  /** Whether mounts are made with `userxattr`: in a user namespace overlayfs keeps its marks in `user.overlay.*`. */
  userxattr: boolean;
  /** Whether a change of metadata alone copies no content. */
  usingMetacopy: boolean;
  /** How the directory of a layer tells which names it deletes: devices are overlayfs' own way. */
  whiteouts: "devices" | "files";
  /** Why an upper directory alone does not tell what changed; undefined if it does. */
  nativeDiffRefusal: string | undefined;
  /** Whether mounts can show layers below under other ids than those on disk. */
  mapsIds: boolean;
}

/** Names of overlayfs' own marks, with the namespace they are in. */
export function overlayXattrs(features: OverlayFeatures): "trusted" | "user" {
  return features.userxattr ? "user" : "trusted";
}

/**
 * What is switched off, whatever the module's defaults are: with an index, no layer could lie below two mounts; with the
 * other two, an upper directory alone would not tell what changed. Newest kernels first (4.19, 4.13, 4.10).
 */
const SWITCHED_OFF: readonly (readonly string[])[] = [
  ["index=off", "redirect_dir=off", "metacopy=off"],
  ["index=off", "redirect_dir=off"],
  ["redirect_dir=off"],
  [],
];
/** With `userxattr` the kernel allows neither redirect_dir nor metacopy, and does not want to hear of them. */
const SWITCHED_OFF_BESIDE_USERXATTR: readonly (readonly string[])[] = [["userxattr", "index=off"]];

/** The options to try, the best first. What the user asks for is not switched off. */
function optionsToTry(asked: readonly string[], userxattr: boolean): string[][] {
  const keys = new Set(asked.map((option) => option.split("=", 1)[0]!));
  // A copy of metadata alone finds its content by a redirect.
  if (asked.includes("metacopy=on")) keys.add("redirect_dir");
  const switchedOff = userxattr ? SWITCHED_OFF_BESIDE_USERXATTR : SWITCHED_OFF;
  return switchedOff.map((options) => [
    ...options.filter((option) => !keys.has(option.split("=", 1)[0]!)),
    ...asked,
  ]);
}

/**
 * Tries an overlay in `home`, which exists, with the options `asked` for and those that keep diffs simple.
 *
 * @throws {StorageError} `incompatible_filesystem`: overlayfs takes no upper directory there, or names have no type;
 * `not_supported`: the kernel has no overlayfs; `invalid_argument`: an option that is asked for; `permission_denied`.
 */
export function probeOverlay(home: string, api: MountApi, asked: readonly string[] = []): OverlayFeatures {
  const backingFileSystem = statfs(home).name;
  const userxattr = isInUserNamespace();
  using probe = new Probe(home);
  try {
    probe.build(userxattr);
    probe.requireEntryTypes();
    const mountOptions = probe.mountAnyhow(asked, userxattr, api);
    const redirects = probe.nativeDiffRefusal();
    const usingMetacopy = probe.usesMetacopy();
    const nativeDiffRefusal = redirects ?? (usingMetacopy ? "the kernel uses metacopy" : undefined);
    const mapsIds = probe.mapsIds(mountOptions, api);
    return {
      backingFileSystem,
      mountOptions,
      userxattr,
      usingMetacopy,
      whiteouts: "devices",
      nativeDiffRefusal,
      mapsIds,
    };
  } catch (error) {
    if (isStorageError(error, "invalid_argument") || isStorageError(error, "not_supported")) throw error;
    throw unusable(error, home, backingFileSystem);
  }
}

function unusable(error: unknown, home: string, backingFileSystem: string): StorageError {
  const cause = isStorageError(error, "mount_failed") ? error.cause : error;
  const action = `Cannot keep overlay layers in ${home}`;
  if (isErrno(cause, "EPERM", "EACCES") || geteuid() !== 0 && cause instanceof SyscallError) {
    const hint = isInUserNamespace()
      ? "overlayfs can be mounted in a user namespace since Linux 5.11; before, by a mount program: --driver " +
        "containers-overlay --storage-opt mount_program=/usr/bin/fuse-overlayfs"
      : "run as root, be it of a user namespace: lamina unshare -- PROGRAM";
    return new StorageError("permission_denied", `${action}: ${cause.message}`, { cause, hint });
  }
  if (isErrno(cause, "ENODEV")) {
    return new StorageError("not_supported", `${action}: the kernel has no overlayfs`, {
      cause,
      hint: "modprobe overlay",
    });
  }
  if (isErrno(cause, "ENOSPC", "EROFS", "EDQUOT")) throw cause;
  const reason = error instanceof Error ? error.message : String(error);
  return new StorageError(
    "incompatible_filesystem",
    `${action}: its file system (${backingFileSystem}) cannot carry them: ${reason}`,
    { cause: error, hint: "use a directory on ext4, XFS with ftype=1, btrfs, or tmpfs; not on another overlay" },
  );
}

/** The kernel's answers to mount(2) are the same wherever it is called; so no process is started for them. */
function asProbed(api: MountApi): MountApi {
  return api === "from" ? "classic" : api;
}

const ONE_ID: readonly IdMap[] = [{ containerId: 0, hostId: 0, size: 1 }];
const ROOT_ALONE: IdMaps = { uidMaps: ONE_ID, gidMaps: ONE_ID };

/** How the names of directories begin in which something is tried; they are locked meanwhile. */
export const PROBE_PREFIX = ".lamina-probe-";

/** A few layers aside in the home, under a name that no layer has. */
class Probe implements Disposable {
  readonly #home: string;
  readonly #name = `${PROBE_PREFIX}${randomId(10)}`;
  readonly #dir: string;
  readonly #lock: Disposable;
  #namespace = "trusted";
  #merged: Fd | undefined;

  constructor(home: string) {
    this.#home = home;
    this.#dir = `${home}/${this.#name}`;
    const fresh = `${home}/.lamina-new-probe-${randomId(10)}`;
    this.#lock = makeLockedDirectory(this.#dir, fresh, () => mkdirat(AT_FDCWD, fresh, 0o700));
  }

  build(userxattr: boolean): void {
    this.#namespace = userxattr ? "user" : "trusted";
    for (const name of ["lower", "lower/kept", "lower/moved", "middle", "middle/kept", "upper", "work", "merged"]) {
      mkdirat(AT_FDCWD, `${this.#dir}/${name}`, 0o755);
    }
    touch(AT_FDCWD, `${this.#dir}/lower/file`);
    lsetxattr(`${this.#dir}/middle/kept`, `${this.#namespace}.overlay.opaque`, new Uint8Array([0x79]));
  }

  requireEntryTypes(): void {
    using directory = new Fd(openat(AT_FDCWD, this.#dir, O_RDONLY | O_DIRECTORY));
    let isMissing = false;
    readDirectory(directory.fd, (_buffer, _start, _end, type) => isMissing ||= type === DT_UNKNOWN);
    if (isMissing) {
      throw new StorageError(
        "incompatible_filesystem",
        "it is formatted without d_type support (XFS: ftype=1, ext4: filetype)",
      );
    }
  }

  /** Mounts with as many of the options as the kernel knows; returns them. */
  mountAnyhow(asked: readonly string[], userxattr: boolean, api: MountApi): string[] {
    let refusal: unknown;
    for (const options of optionsToTry(asked, userxattr)) {
      try {
        this.#mount(options, api);
        return options;
      } catch (error) {
        if (!isStorageError(error, "mount_failed") || !isErrno(error.cause, "EINVAL")) throw error;
        refusal ??= error;
      }
    }
    if (asked.length === 0) throw refusal;
    throw new StorageError(
      "invalid_argument",
      `Cannot mount with the options "${asked.join(",")}": ${(refusal as StorageError).message}`,
      {
        cause: refusal,
        ...(userxattr ? { hint: "in a user namespace overlayfs has neither redirect_dir nor metacopy" } : {}),
      },
    );
  }

  #mount(options: string[], api: MountApi): void {
    const upper = { upperDir: `${this.#dir}/upper`, workDir: `${this.#dir}/work` };
    const merged = `${this.#dir}/merged`;
    mountOverlay({ lowerDirs: this.#lowerDirs, upper, options }, merged, asProbed(api));
    // From here on it ends with this process: one that is killed must not leave a mount that nobody knows.
    try {
      this.#merged = new Fd(openat(AT_FDCWD, merged, O_RDONLY | O_DIRECTORY));
    } finally {
      unmountLazily(merged);
    }
  }

  get #mergedFd(): number {
    if (this.#merged === undefined) throw new Error("nothing is mounted yet");
    return this.#merged.fd;
  }

  /** Linux before 4.8 copied an opaque mark up with its directory; with redirect_dir a moved one points to its old place. */
  nativeDiffRefusal(): string | undefined {
    touch(this.#mergedFd, "kept/file");
    if (this.#hasMark("kept", "opaque")) return "the kernel copies opaque marks up (Linux 4.8 or newer does not)";
    try {
      renameat2(this.#mergedFd, "moved", this.#mergedFd, "moved-away");
    } catch (error) {
      if (isErrno(error, "EXDEV")) return undefined;
      throw error;
    }
    return this.#hasMark("moved-away", "redirect") ? "the kernel uses redirect_dir" : undefined;
  }

  usesMetacopy(): boolean {
    fchmodat(this.#mergedFd, "file", 0o600);
    return this.#hasMark("file", "metacopy");
  }

  mapsIds(options: readonly string[], api: MountApi): boolean {
    const target = `${this.#dir}/mapped`;
    mkdirat(AT_FDCWD, target, 0o700);
    const overlay = { lowerDirs: this.#lowerDirs, upper: undefined, options };
    try {
      mountIdMapped(overlay, ROOT_ALONE, target, asProbed(api), this.#dir);
    } catch (error) {
      if (!isStorageError(error)) throw error;
      return false;
    }
    unmountLazily(target);
    return true;
  }

  get #lowerDirs(): string[] {
    return [`${this.#dir}/middle`, `${this.#dir}/lower`];
  }

  #hasMark(name: string, mark: string): boolean {
    return lgetxattr(`${this.#dir}/upper/${name}`, `${this.#namespace}.overlay.${mark}`) !== undefined;
  }

  [Symbol.dispose](): void {
    using _lock = this.#lock;
    this.#merged?.[Symbol.dispose]();
    using home = new Fd(openat(AT_FDCWD, this.#home, O_RDONLY | O_DIRECTORY));
    removeTree(home.fd, this.#name);
  }
}

function touch(dirfd: number, path: string): void {
  using _file = new Fd(openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL, 0o644));
}

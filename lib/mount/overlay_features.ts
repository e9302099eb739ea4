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
  existsat,
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
import { randomId } from "../util/random_id.ts";
import { readTextFile } from "../util/read_file.ts";
import { removeTree } from "../util/remove_tree.ts";
import { type MountApi, mountOverlay } from "./overlay_mount.ts";
import { unmountLazily } from "./unmount.ts";

/** What was found out. Plain data: it is kept in the run root as JSON. */
export interface OverlayFeatures {
  /** Docker's name of the file system that the layers lie on. */
  backingFileSystem: string;
  /** Whether `index=off` is to be given: the kernel knows the option, and a layer may be mounted over several others. */
  indexOff: boolean;
  /** Whether mounts are made with `userxattr`: in a user namespace overlayfs keeps its marks in `user.overlay.*`. */
  userxattr: boolean;
  /** Whether a change of metadata alone copies no content. */
  usingMetacopy: boolean;
  /** Why an upper directory alone does not tell what changed; undefined if it does. */
  nativeDiffRefusal: string | undefined;
}

/** Names of overlayfs' own marks, with the namespace they are in. */
export function overlayXattrs(features: OverlayFeatures): "trusted" | "user" {
  return features.userxattr ? "user" : "trusted";
}

/** The options that every mount of a driver has. */
export function baseOptions(features: Pick<OverlayFeatures, "indexOff" | "userxattr">): string[] {
  return [...(features.indexOff ? ["index=off"] : []), ...(features.userxattr ? ["userxattr"] : [])];
}

const INITIAL_USER_NAMESPACE = /^\s*0\s+0\s+4294967295\s*$/m;

function isInUserNamespace(): boolean {
  return !INITIAL_USER_NAMESPACE.test(readTextFile("/proc/self/uid_map"));
}

/**
 * Tries an overlay in `home`, which exists.
 *
 * @param mountOptions What mounts will be given beside the options found out here.
 * @throws {StorageError} `incompatible_filesystem`: overlayfs takes no upper directory there, or names have no type;
 * `not_supported`: the kernel has no overlayfs; `permission_denied`.
 */
export function probeOverlay(home: string, api: MountApi, mountOptions: readonly string[] = []): OverlayFeatures {
  const backingFileSystem = statfs(home).name;
  const options = {
    indexOff: existsat(AT_FDCWD, "/sys/module/overlay/parameters/index"),
    userxattr: isInUserNamespace(),
  };
  using probe = new Probe(home);
  try {
    probe.build(options.userxattr);
    probe.requireEntryTypes();
    probe.mount([...baseOptions(options), ...mountOptions], api);
    const nativeDiffRefusal = probe.nativeDiffRefusal();
    return { backingFileSystem, ...options, usingMetacopy: probe.usesMetacopy(), nativeDiffRefusal };
  } catch (error) {
    throw unusable(error, home, backingFileSystem);
  }
}

function unusable(error: unknown, home: string, backingFileSystem: string): StorageError {
  const cause = isStorageError(error, "mount_failed") ? error.cause : error;
  const action = `Cannot keep overlay layers in ${home}`;
  if (isErrno(cause, "EPERM", "EACCES") || geteuid() !== 0 && cause instanceof SyscallError) {
    return new StorageError("permission_denied", `${action}: ${cause.message}`, { cause, hint: "run as root" });
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

/** A few layers aside in the home, under a name that no layer has. */
class Probe implements Disposable {
  readonly #home: string;
  readonly #name = `.lamina-probe-${randomId(10)}`;
  readonly #dir: string;
  #namespace = "trusted";
  #isMounted = false;

  constructor(home: string) {
    this.#home = home;
    this.#dir = `${home}/${this.#name}`;
    mkdirat(AT_FDCWD, this.#dir, 0o700);
  }

  build(userxattr: boolean): void {
    this.#namespace = userxattr ? "user" : "trusted";
    for (const name of ["lower", "lower/kept", "lower/moved", "middle", "middle/kept", "upper", "work", "merged"]) {
      mkdirat(AT_FDCWD, `${this.#dir}/${name}`, 0o755);
    }
    this.#touch("lower/file");
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

  mount(options: string[], api: MountApi): void {
    const lowerDirs = [`${this.#dir}/middle`, `${this.#dir}/lower`];
    const upper = { upperDir: `${this.#dir}/upper`, workDir: `${this.#dir}/work` };
    mountOverlay({ lowerDirs, upper, options }, `${this.#dir}/merged`, api);
    this.#isMounted = true;
  }

  /** Linux before 4.8 copied an opaque mark up with its directory; with redirect_dir a moved one points to its old place. */
  nativeDiffRefusal(): string | undefined {
    this.#touch("merged/kept/file");
    if (this.#hasMark("kept", "opaque")) return "the kernel copies opaque marks up (Linux 4.8 or newer does not)";
    try {
      renameat2(AT_FDCWD, `${this.#dir}/merged/moved`, AT_FDCWD, `${this.#dir}/merged/moved-away`);
    } catch (error) {
      if (isErrno(error, "EXDEV")) return undefined;
      throw error;
    }
    return this.#hasMark("moved-away", "redirect") ? "the kernel uses redirect_dir" : undefined;
  }

  usesMetacopy(): boolean {
    fchmodat(AT_FDCWD, `${this.#dir}/merged/file`, 0o600);
    return this.#hasMark("file", "metacopy");
  }

  #hasMark(name: string, mark: string): boolean {
    return lgetxattr(`${this.#dir}/upper/${name}`, `${this.#namespace}.overlay.${mark}`) !== undefined;
  }

  #touch(name: string): void {
    using _file = new Fd(openat(AT_FDCWD, `${this.#dir}/${name}`, O_WRONLY | O_CREAT | O_EXCL, 0o644));
  }

  [Symbol.dispose](): void {
    if (this.#isMounted) unmountLazily(`${this.#dir}/merged`);
    using home = new Fd(openat(AT_FDCWD, this.#home, O_RDONLY | O_DIRECTORY));
    removeTree(home.fd, this.#name);
  }
}

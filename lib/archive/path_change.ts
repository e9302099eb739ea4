// SPDX-License-Identifier: Apache-2.0

/**
 * A changed path: how it was changed, and what it is now.
 *
 * @module
 */

import { Fd, O_NOFOLLOW, O_PATH, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, tryOpenat2 } from "../../ffi/file.ts";
import { fstat, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, Stat } from "../../ffi/stat.ts";
import { type ByteString, CName, textOfBytes } from "../util/byte_string.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";
import { overrideName } from "./override_stat.ts";

/** One changed path, absolute in the layer. */
export interface PathChange {
  path: string;
  kind: "modify" | "add" | "delete";
  /** With `details`, and left out for what was deleted or went away: what it is now. */
  type?: FileType;
  /** With `type`. */
  sizeBytes?: number;
}

/** Kinds of files. */
export type FileType = "file" | "directory" | "symlink" | "device" | "fifo" | "socket";

const TYPES: ReadonlyMap<number, FileType> = new Map([
  [S_IFREG, "file"],
  [S_IFDIR, "directory"],
  [S_IFLNK, "symlink"],
  [S_IFBLK, "device"],
  [S_IFCHR, "device"],
  [S_IFIFO, "fifo"],
  [S_IFSOCK, "socket"],
]);

/** What a path is. */
export interface PathDetails {
  type: FileType;
  /** Of files and links; 0 for the second and further names of a file. */
  sizeBytes: number;
}

/** Whether and how it is found out what paths are. */
export interface DetailsOptions {
  /** Whether to look. */
  details?: boolean | undefined;
  /** Owners, modes and types are in an attribute: see override_stat.ts. */
  overrideStat?: boolean | undefined;
  control?: WorkControl;
}

/** `found` in the order of the paths' bytes, with what each path is in the tree `treeFd` where that is asked for. */
export function pathChanges(
  found: ReadonlyMap<ByteString, PathChange["kind"]>,
  treeFd: number,
  { details: wantsDetails, overrideStat = false, control = UNWATCHED }: DetailsOptions,
): PathChange[] {
  const details = wantsDetails ? new DetailsReader(treeFd, overrideStat) : undefined;
  return [...found.keys()].sort().map((path) => {
    const kind = found.get(path)!;
    if (details === undefined || kind === "delete") return { path: textOfBytes(path), kind };
    control.tick(found.size, 0);
    return { path: textOfBytes(path), kind, ...details.of(path) };
  });
}

class DetailsReader {
  readonly #stat = new Stat();
  readonly #path = new CName();
  readonly #counted = new Set<string>();

  constructor(readonly treeFd: number, readonly isMasked: boolean) {}

  /** Undefined where the path is gone, or longer than the kernel takes. */
  of(path: ByteString): PathDetails | undefined {
    using fd = this.#open(path.slice(1));
    if (fd === undefined) return undefined;
    const { nlink, size, fileKey } = fstat(fd.fd, this.#stat);
    if (this.isMasked && this.#stat.isFile && size === 0) this.#unmask(path);
    const { mode } = this.#stat;
    const type = TYPES.get(mode & S_IFMT) ?? "device";
    if (type === "directory") return { type, sizeBytes: 0 };
    const isCounted = nlink > 1 && this.#counted.has(fileKey);
    if (nlink > 1) this.#counted.add(fileKey);
    return { type, sizeBytes: isCounted ? 0 : size };
  }

  /** While the layer is written in, a directory above may become a link that leads elsewhere. */
  #open(path: ByteString): Fd | undefined {
    const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    const opened = tryOpenat2(this.treeFd, this.#path.fill(path || "."), O_PATH | O_NOFOLLOW, resolve);
    return opened < 0 ? undefined : new Fd(opened);
  }

  /** An empty file may stand for a device. */
  #unmask(path: ByteString): void {
    const slash = path.lastIndexOf("/");
    using directory = this.#open(path.slice(1, slash));
    if (directory !== undefined) overrideName(directory.fd, this.#stat, path.slice(slash + 1));
  }
}

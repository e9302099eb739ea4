// SPDX-License-Identifier: Apache-2.0

/**
 * How much one archive may ask for. The defaults are beyond any honest layer, so that only a hostile or broken archive
 * meets them; they also bound the memory that unpacking takes, which grows by some 300 bytes for each directory and
 * each deleted name.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { type ByteString, textOfBytes } from "../util/byte_string.ts";
import { cleanPath } from "./entry_path.ts";
import { type TarEntry, TypeFlag } from "./header.ts";

/** Limits of one archive. */
export interface ArchiveLimits {
  /**
   * Entries, and directories that no entry tells of: 10 million by default; a large distribution with everything installed
   * has one or two.
   */
  entries: number;
  /** Bytes of the archive, decompressed: 1 TiB by default. This is what stops a compression bomb. */
  bytes: number;
  /** Bytes that the files say they hold: 1 TiB by default. */
  sizeBytes: number;
  /** Bytes of a name or of a link's target: 4096 by default, the kernel's own PATH_MAX. */
  pathLength: number;
  /** Directories in each other: 1000 by default, the most that a layer is walked for. */
  depth: number;
  /** Bytes of the extended attributes of one entry, names and values: 1 MiB by default; ext4 keeps 4 KiB to 64 KiB. */
  xattrBytes: number;
}

/** As deep as directories are packed: each one takes an open file and a piece of the stack. */
export const MOST_LEVELS = 1000;

/** What holds where nothing else is asked for. */
export const DEFAULT_LIMITS: Readonly<ArchiveLimits> = {
  entries: 10_000_000,
  bytes: 2 ** 40,
  sizeBytes: 2 ** 40,
  pathLength: 4096,
  depth: MOST_LEVELS,
  xattrBytes: 2 ** 20,
};

/** Throws once an archive is beyond its limits. */
export class LimitGuard {
  readonly #limits: ArchiveLimits;
  #sizeBytes = 0;

  /** @throws {StorageError} `invalid_argument` for a limit that is no whole number of zero or more. */
  constructor(limits: Partial<ArchiveLimits> = {}) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    for (const [name, value] of Object.entries(this.#limits)) {
      if (Number.isSafeInteger(value) && value >= 0) continue;
      throw new StorageError("invalid_argument", `Cannot limit an archive's ${name} to ${value}: that is no size`);
    }
  }

  /** Called between entries, while content is copied, and for each directory that no entry tells of. */
  checkProgress(entries: number, bytes: number): void {
    if (entries > this.#limits.entries) throw exceeded("entries", this.#limits.entries, "The archive");
    if (bytes > this.#limits.bytes) throw exceeded("bytes", this.#limits.bytes, "The archive");
  }

  /** Called before anything of `entry` is made. */
  checkEntry(entry: TarEntry): void {
    const { pathLength, depth, sizeBytes, xattrBytes } = this.#limits;
    const path = entry.unsafePath;
    if (path.length > pathLength || entry.unsafeLinkPath.length > pathLength) {
      throw exceeded("pathLength", pathLength, describe(path));
    }
    if (path.length > depth && levelsOf(entry) > depth) throw exceeded("depth", depth, describe(path));
    this.#sizeBytes += entry.size;
    if (this.#sizeBytes > sizeBytes) throw exceeded("sizeBytes", sizeBytes, describe(path));
    if (entry.xattrs === undefined) return;
    let bytes = 0;
    for (const [name, value] of entry.xattrs) bytes += name.length + value.length;
    if (bytes > xattrBytes) throw exceeded("xattrBytes", xattrBytes, describe(path));
  }
}

/** Directories in each other that the entry is in, or is. However it is written: "./a//b/" is as deep as "a/b". */
function levelsOf({ unsafePath, typeFlag }: TarEntry): number {
  const parts = cleanPath(unsafePath).split("/").length;
  return typeFlag === TypeFlag.DIRECTORY ? parts : parts - 1;
}

const SHOWN_LENGTH = 100;

function describe(path: ByteString): string {
  const rest = path.length > SHOWN_LENGTH ? "…" : "";
  return `The archive's entry "${textOfBytes(path.slice(0, SHOWN_LENGTH))}${rest}"`;
}

function exceeded(name: keyof ArchiveLimits, limit: number, what: string): StorageError {
  return new StorageError("limit_exceeded", `${what} goes beyond the limit "${name}" of ${limit}`, {
    hint: `if you trust the archive, raise the limit: --limit ${name}=NUMBER, or limits: { ${name}: NUMBER }`,
  });
}

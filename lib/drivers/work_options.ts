// SPDX-License-Identifier: Apache-2.0

/**
 * What the work of a driver that grows with a layer is asked for, and what it answers. driver.ts says what each is for.
 *
 * @module
 */

import type { FileType } from "../archive/path_change.ts";
import type { ArchiveLimits } from "../archive/limits.ts";
import type { SkippedFile } from "../archive/pack.ts";
import type { Digest } from "../digest.ts";
import type { IdMaps } from "../id_map.ts";
import type { DroppedXattr, XattrNamespace, XattrPolicies } from "../archive/xattr_filter.ts";

export type { ManifestChange, ManifestDifference } from "../archive/manifest.ts";
export type { FileType } from "../archive/path_change.ts";
export type { ArchiveLimits } from "../archive/limits.ts";
export type { SkippedFile } from "../archive/pack.ts";
export type { DroppedXattr, XattrNamespace, XattrPolicies, XattrPolicy } from "../archive/xattr_filter.ts";

/** How far a long operation got. */
export interface Progress {
  /** Archive entries so far. */
  entries: number;
  /** Bytes of the uncompressed archive so far. */
  bytes: number;
}

/** What long operations have in common. */
export interface WorkOptions {
  /** Ends the work within a tenth of a second; it then fails with `aborted` and leaves nothing behind. */
  signal?: AbortSignal;
  /** Called some ten times a second while the work goes on. */
  onProgress?: (progress: Progress) => void;
}

/** A change to one path, seen from the parent. */
export type ChangeKind = "modify" | "add" | "delete";

/** One line of `changes`. */
export interface Change {
  /** Absolute in the layer: begins with `/`. */
  path: string;
  /** What happened to it. */
  kind: ChangeKind;
  /** With `CompareOptions.details`, what it is now; left out for what was deleted, or went away meanwhile. */
  type?: FileType;
  /** With `type`: bytes of a file or a link, 0 for the second and further names of a file. */
  sizeBytes?: number;
}

/**
 * What a layer is compared with. Left out: its own parent. `null`: nothing at all, so that everything one sees in the
 * layer counts as added.
 */
export interface CompareOptions extends WorkOptions {
  /** The id of the other layer, or `null`. */
  parent?: string | null;
  /**
   * Whether other extended attributes than `security.capability` count, which alone does by Docker's rules. A diff holds
   * all that differ, and those of `xattrs` where that is given, without being told.
   */
  compareXattrs?: boolean;
  /**
   * The id maps that the layer is mounted with (`GetOptions.idMaps`): what was written there has the host's ids on disk, which
   * are taken for the container's. Left out, those that the driver was opened with. Not for layers of a mount program, which
   * has the container's ids on disk.
   */
  idMaps?: IdMaps;
  /** Has `changes` tell what each path is now, and how large: one more look at each. */
  details?: boolean;
  /** Reads files of which nothing else differs: one can be rewritten with the same size and be given its old time. */
  compareContent?: boolean;
}

/** How a layer is given to other ids. */
export interface RemapOptions extends WorkOptions {
  /** SELinux context of the mount through which the files are changed. */
  mountLabel?: string;
}

/** How an archive is taken in. */
export interface ApplyOptions extends WorkOptions {
  /** The layer's own parent, if it is given. */
  parent?: string | null;
  /** What to do with extended attributes that cannot be set, by namespace; left out, that is an error. */
  xattrs?: XattrPolicies;
  /** How much the archive may ask for; each limit left out has a default that no honest layer meets. */
  limits?: Partial<ArchiveLimits>;
  /** Whether device nodes are made (the default), or refused with `permission_denied`. */
  devices?: "create" | "refuse";
  /**
   * Takes an archive without its two closing zero blocks, which may be one that was cut short between two entries. It
   * must still end behind a whole entry.
   */
  allowMissingEnd?: boolean;
  /** Computes the archive's digests while it is read, in another thread. */
  digest?: boolean;
  /** Reads the files that were made, and writes down their digests for `verify`; without them the layer stays empty. */
  manifest?: boolean;
}

/** How a diff is written. */
export interface DiffOptions extends CompareOptions {
  /** Left out: plain tar. */
  compression?: "gzip" | "zstd";
  /** Computes the archive's digests while it is written, in another thread. */
  digest?: boolean;
  /**
   * Leaves out what cannot be archived (unreadable, without a place in a tar, not covered by the id maps), and lists it,
   * instead of failing. A file that fails in the middle of its content is an error all the same.
   */
  skipErrors?: boolean;
  /** `seconds` cuts times to whole seconds, as Docker does; `full`, the default, keeps them to the nanosecond. */
  times?: "full" | "seconds";
  /** Whose extended attributes go out; all by default, but for what belongs to the storage driver or the host. */
  xattrs?: readonly XattrNamespace[];
  /**
   * The layer as a root file system: what one sees in it, whatever it lies on, and no whiteouts. `parent` does not count
   * then; `null` there gives the same, but for the whiteouts that a base layer's own archive may have brought.
   */
  whole?: boolean;
}

/** What identifies an archive, where `digest` asked for it: SHA-256. */
export interface ArchiveDigests {
  /** Of the uncompressed archive: the DiffID of an image's configuration. */
  diffId: Digest | undefined;
  /** Of the archive as it came in or went out: the digest by which a registry knows it. The same if not compressed. */
  archiveDigest: Digest | undefined;
}

/** What a diff held. */
export interface DiffResult extends ArchiveDigests {
  /** Entries written, whiteouts among them. */
  entries: number;
  /** Bytes of the uncompressed archive. */
  bytes: number;
  /** Paths of sockets, which no archive can carry. One that replaced something of the layers below leaves a whiteout. */
  skippedSockets: string[];
  /** What was left out with `skipErrors`. */
  skipped: SkippedFile[];
}

/** What an applied diff held. */
export interface ApplyResult extends ArchiveDigests {
  /** Entries of the archive. */
  entries: number;
  /** Bytes of the uncompressed archive. */
  bytes: number;
  /** Bytes of the layer's files, hard links once: what `diffSize` gives for it. */
  sizeBytes: number;
  /** Extended attributes that were left out, and why. */
  droppedXattrs: DroppedXattr[];
  /** How many files have not got their owner, where the driver's options pass that over (`ignore_chown_errors`). */
  unsetOwners: number;
}

/** An open file of the calling process, for archives that need not pass through JavaScript. It stays open. */
export interface FileDescriptor {
  /** Its number. */
  fd: number;
}

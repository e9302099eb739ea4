// SPDX-License-Identifier: Apache-2.0

/**
 * What can be asked of unpacking, and what it answers.
 *
 * @module
 */

import type { Digest } from "../digest.ts";
import type { IdMaps } from "../id_map.ts";
import type { WorkControl } from "../util/work_control.ts";
import type { StartHelper } from "./helper_thread.ts";
import type { ArchiveLimits } from "./limits.ts";
import type { OverlayXattrNamespace } from "./whiteout.ts";
import type { DroppedXattr, XattrPolicies } from "./xattr_filter.ts";

/** How an archive is unpacked. */
export interface UnpackOptions {
  /** Which attribute makes a directory opaque; `trusted` unless the mounts are made with `userxattr`. */
  overlayXattrs?: OverlayXattrNamespace;
  /** Ids in the archive are the container's; files get the host's. */
  idMaps?: IdMaps | undefined;
  /**
   * `upper` (the default) fills an overlay's upper directory: whiteouts are marked for overlayfs. `merged` changes a
   * tree that shows all layers: whiteouts delete. `marked` fills an upper directory for a mount program: whiteouts stay
   * the files they are in the archive.
   */
  target?: "upper" | "merged" | "marked";
  /** Refuses to put anything else in the place of a directory that is there, instead of removing that. */
  keepsDirectories?: boolean | undefined;
  /** The layers below an upper directory, uppermost first: hard links may join files of theirs. */
  lowerDirs?: readonly string[] | undefined;
  /** The mode of everything on disk; owners and modes of the archive go into an attribute: see override_stat.ts. */
  forceMask?: number | undefined;
  /** Passes over owners that cannot be set, and only counts them. */
  ignoreChownErrors?: boolean | undefined;
  /** What to do with extended attributes that cannot be set; by default that is an error. */
  xattrs?: XattrPolicies | undefined;
  /** How much the archive may ask for; what is left out has its default. */
  limits?: Partial<ArchiveLimits> | undefined;
  /** Whether device nodes are made (the default), or refused with `permission_denied`. */
  devices?: "create" | "refuse" | undefined;
  /** See the reader's option. */
  allowMissingEnd?: boolean | undefined;
  /** Whether the digest of the plain archive is computed, in another thread. */
  digest?: boolean | undefined;
  control?: WorkControl;
  startHelper?: StartHelper | undefined;
  /** Bytes of the archive from which on a second thread helps with the files; left out: where it begins to pay. */
  secondThreadFrom?: number | undefined;
}

/** What was unpacked. */
export interface UnpackResult {
  entries: number;
  /** Bytes of the archive. */
  bytes: number;
  /** Bytes of the unpacked files, hard links once, symbolic links by the length of their target. */
  sizeBytes: number;
  /** Attributes that were left out: see xattr_filter.ts. */
  droppedXattrs: DroppedXattr[];
  /** Files whose owner could not be set, where that is passed over. */
  unsetOwners: number;
  /** SHA-256 of the plain archive, `sha256:…`, where it was asked for. */
  diffId: Digest | undefined;
}

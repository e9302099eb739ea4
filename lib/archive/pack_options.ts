// SPDX-License-Identifier: Apache-2.0

/**
 * What can be asked of packing, and what it answers.
 *
 * @module
 */

import type { Digest } from "../digest.ts";
import type { IdMaps } from "../id_map.ts";
import type { ByteString } from "../util/byte_string.ts";
import type { WorkControl } from "../util/work_control.ts";
import type { StartHelper } from "./helper_thread.ts";
import type { OverlayXattrNamespace } from "./whiteout.ts";
import type { XattrNamespace } from "./xattr_filter.ts";

/**
 * What of a directory is packed that is not a layer's own: all that is in it, but not itself; or one name in it and what is
 * below, called `as` in the archive.
 */
export type PackedPart = "content" | { name: ByteString; as: ByteString };

/** How a directory is packed. */
export interface PackOptions {
  /** Left out: all of a layer's own directory, and itself. */
  part?: PackedPart | undefined;
  /** Which attribute makes a directory opaque; `trusted` unless the mounts are made with `userxattr`. */
  overlayXattrs?: OverlayXattrNamespace;
  /** Files have the host's ids; the archive gets the container's. */
  idMaps?: IdMaps | undefined;
  /** The layers below, uppermost first: they tell whether a socket replaced something, and a directory hides anything. */
  lowerDirs?: readonly string[] | undefined;
  /** Whether files named `.wh.…` are deletions, as a mount program notes them; elsewhere no archive can hold them. */
  markers?: boolean | undefined;
  /** Owners and modes are in an attribute: see override_stat.ts. */
  overrideStat?: boolean | undefined;
  /** The mode that the root of a new layer has, 0755 by default: with nothing in it there is nothing to archive. */
  newRootMode?: number | undefined;
  /** Leaves out what cannot be archived, and lists it, instead of failing. */
  skipErrors?: boolean | undefined;
  /** `seconds` cuts times to whole seconds, as Docker does; `full`, the default, keeps them to the nanosecond. */
  times?: "full" | "seconds" | undefined;
  /** Whose extended attributes go out; all by default. */
  xattrs?: readonly XattrNamespace[] | undefined;
  /** Whether the digest of the archive is computed, in another thread. */
  digest?: boolean | undefined;
  control?: WorkControl;
  startHelper?: StartHelper | undefined;
  /** Bytes of the archive from which on a second thread helps with the files; left out: where it begins to pay. */
  secondThreadFrom?: number | undefined;
}

/** A name that was left out. */
export interface SkippedFile {
  /** Relative to the layer's root. */
  path: string;
  /** What was wrong. */
  reason: string;
}

/** What was packed. */
export interface PackResult {
  entries: number;
  /** Bytes of the archive. */
  bytes: number;
  /** Sockets, which no archive can carry. */
  skippedSockets: string[];
  /** What could not be archived, with `skipErrors`. */
  skipped: SkippedFile[];
  /** SHA-256 of the plain archive, `sha256:…`, where it was asked for. */
  diffId: Digest | undefined;
}

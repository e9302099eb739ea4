// SPDX-License-Identifier: Apache-2.0

/**
 * What a driver tells of its layers: which there are, where they lie, and what they occupy.
 *
 * @module
 */

import type { TreeUsage } from "../archive/tree_usage.ts";
import type { LayerQuota } from "../mount/project_quota.ts";
import type { WorkOptions } from "./work_options.ts";

export type { TreeUsage, UnreadablePath } from "../archive/tree_usage.ts";
export type { LayerQuota } from "../mount/project_quota.ts";

/** A layer as `layers` lists it. */
export interface LayerInfo {
  /** Its id. */
  id: string;
  /** Its parent's id; undefined for a base layer. */
  parent: string | undefined;
  /** How many layers lie below it: 0 for a base layer. */
  depth: number;
  /** Whether it is mounted at the moment. */
  mounted: boolean;
  /** When its directory was made; undefined where the file system does not keep that. See statx(2), `stx_btime`. */
  createdAt: Date | undefined;
}

/** Where a layer lies. Docker's `inspect` shows these under the same names, capitalised. */
export interface LayerMetadata {
  /** The layer's own content. */
  upperDir: string;
  /** The kernel's scratch directory. */
  workDir: string;
  /** Where `get` mounts. */
  mergedDir: string;
  /** The parents' contents, uppermost first; empty for a base layer. */
  lowerDirs: string[];
  /** Left out: the layer has no limit of its own, or the kernel does not tell. */
  quota?: LayerQuota;
}

/** Of which layers it is asked what they occupy. */
export interface UsageOptions extends WorkOptions {
  /** Left out: all. */
  ids?: readonly string[];
}

/** What the content of one layer occupies. */
export interface LayerUsage extends TreeUsage {
  /** The layer. */
  id: string;
}

/** What layers occupy on the disk. */
export interface DiskUsage {
  /** Each layer, in the order of `ids`, or of their ids. */
  layers: LayerUsage[];
  /** All of them together: a file that several have counts once. */
  total: Omit<TreeUsage, "unreadable">;
}

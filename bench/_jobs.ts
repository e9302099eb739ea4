// SPDX-License-Identifier: Apache-2.0

/**
 * The jobs of the engine's bench.
 *
 * @module
 */

import {
  applyCompressedContestants,
  applyContestants,
  changesContestants,
  type Contestant,
  diffContestants,
  diffSizeContestants,
} from "./_contestants.ts";
import type { Peers } from "./_peers.ts";

/** Something that several programs can do. */
export interface Job {
  /** What `--ops` calls it. */
  name: string;
  title: string;
  /** Each sample gets a just-made file system; otherwise all samples read the same files. */
  makesFiles: boolean;
  compression?: "gzip" | "zstd";
  /** Whether an archive that is made goes to a file in memory; otherwise to /dev/null. */
  keepsOutput?: boolean;
  /** The archive beside the layer's that is applied on top of it. */
  delta?: string;
  /** The data sets that say something about it; all if left out. */
  sets?: readonly string[];
  /** The first one is what the others are compared with. */
  contestants: (peers: Peers) => Contestant[];
}

/** Compressing 1.1 GB says nothing that the small files do not say. */
const COMPRESSED_SETS = ["small", "mixed", "host"];

export const JOBS: readonly Job[] = [
  { name: "apply", title: "apply", makesFiles: true, contestants: applyContestants },
  { name: "diff", title: "diff to /dev/null", makesFiles: false, contestants: diffContestants },
  {
    name: "diff-file",
    title: "diff to a file on tmpfs",
    makesFiles: false,
    keepsOutput: true,
    contestants: diffContestants,
  },
  {
    name: "diff-size",
    title: "diffSize",
    makesFiles: false,
    sets: ["small", "mixed", "host"],
    contestants: diffSizeContestants,
  },
  {
    name: "changes",
    title: "changes",
    makesFiles: false,
    sets: ["mixed"],
    delta: "delta.tar",
    contestants: changesContestants,
  },
  ...(["gzip", "zstd"] as const).map((compression): Job => ({
    name: `apply-${compression}`,
    title: `apply of a ${compression} archive`,
    makesFiles: true,
    compression,
    sets: COMPRESSED_SETS,
    contestants: (peers) => applyCompressedContestants(compression, peers),
  })),
];

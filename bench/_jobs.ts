// SPDX-License-Identifier: Apache-2.0

/**
 * The jobs of the engine's bench.
 *
 * @module
 */

import {
  agentContestants,
  applyCompressedContestants,
  applyContestants,
  changesContestants,
  type Contestant,
  diffContestants,
  diffSizeContestants,
  layersContestants,
  mountContestants,
} from "./_contestants.ts";
import { idMapContestants } from "./_id_map_contestants.ts";
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
  /** What stands for the set of data where there is none: layers are made, and nothing is in them. */
  emptyLayers?: string;
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
  ...[{ cycles: 200, layers: 5 }, { cycles: 20, layers: 127 }].map((many): Job => ({
    name: `mount-${many.layers}`,
    title: `get and put, ${many.cycles} times`,
    makesFiles: true,
    emptyLayers: `over ${many.layers} layers`,
    contestants: (peers) => mountContestants(peers, many),
  })),
  ...(["create", "remove"] as const).map((operation): Job => ({
    name: operation,
    title: operation,
    makesFiles: true,
    emptyLayers: "1000 layers, 100 deep",
    contestants: (peers) => layersContestants(operation, peers, { count: 1000, depth: 100 }),
  })),
  {
    name: "agent-calls",
    title: "exists() by the agent, 2000 times",
    makesFiles: true,
    emptyLayers: "one layer",
    contestants: () => agentContestants("calls", 2000),
  },
  ...(["apply", "diff"] as const).map((operation): Job => ({
    name: `agent-${operation}`,
    title: `${operation} by the agent, as a stream`,
    makesFiles: true,
    contestants: () => agentContestants(operation, 1),
  })),
  {
    name: "id-maps",
    title: "a layer under other ids",
    makesFiles: true,
    sets: ["small", "mixed", "host"],
    contestants: idMapContestants,
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

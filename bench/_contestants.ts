// SPDX-License-Identifier: Apache-2.0

/**
 * Who takes part in the engine's bench, and with which command. A new contestant is one more element of a list here.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import type { Words } from "./_command.ts";
import type { Peers } from "./_peers.ts";

/** What a contestant works on. */
export interface Place {
  /** Where files are made: a just-made file system for jobs that create files. */
  directory: string;
  /** The layer's archive. */
  archive: string;
  /** The layer as files, for jobs that only read. */
  tree: string;
  /** The archive of a second layer, for jobs about what changed, and that layer's own files. */
  delta: { archive: string; tree: string } | undefined;
  /** Where an archive goes: /dev/null or a file in memory. */
  output: string;
  /** A directory in memory that is emptied after each sample. */
  scratch: string;
}

/** One program that does a job. */
export interface Contestant {
  name: string;
  /** `own`: the seconds that it prints as JSON, without its start; `process`: from its start to its end. */
  clock: "own" | "process";
  /** Which of several lines that it prints counts: the one of this operation. */
  operation?: string;
  /** What goes before the clock runs: for each sample that makes files, once for those that only read. */
  prepare?: (place: Place) => readonly Words[];
  run: (place: Place) => Words;
}

/** The engine, timed in a process of its own by itself. */
const ENGINE = fileURLToPath(new URL("./_engine_process.ts", import.meta.url));
/** The driver, timed likewise. */
const LAYERS = fileURLToPath(new URL("./_layers_process.ts", import.meta.url));
/** The driver in an agent, timed likewise. */
const AGENT = fileURLToPath(new URL("./_agent_process.ts", import.meta.url));
const CLI = fileURLToPath(new URL("../cli.ts", import.meta.url));
const BINARY = fileURLToPath(new URL("../build/lamina", import.meta.url));

const TAR_XATTRS = ["--xattrs", "--xattrs-include=*", "--numeric-owner"] as const;
const TAR_EXTRACT = ["-p", "--same-owner", ...TAR_XATTRS] as const;
/** With names that all stores accept. */
const LAYER = "layer";
const DELTA = "delta-layer";

const engineWords = (...args: string[]): Words => [Deno.execPath(), "run", "--allow-all", "--quiet", ENGINE, ...args];
const tree = (place: Place): string => `${place.directory}/tree`;
const makeTree = (place: Place): Words[] => [["mkdir", tree(place)]];

/** A pipeline in which every part must succeed; `args` are `$1` and so on. */
export function pipeline(script: string, ...args: string[]): Words {
  return ["bash", "-c", `set -o pipefail; ${script}`, "bash", ...args];
}

/** The ways to start the whole program: from its sources, and compiled if that was done. */
function laminaPrograms(): { name: string; words: Words }[] {
  const sources = { name: "deno run", words: [Deno.execPath(), "run", "--allow-all", CLI] as const };
  try {
    Deno.statSync(BINARY);
    return [sources, { name: "compiled", words: [BINARY] }];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [sources];
    throw error;
  }
}

function offersDigest(words: Words): boolean {
  const [program, ...args] = words;
  const { stdout } = new Deno.Command(program, { args: [...args, "apply", "--help"] }).outputSync();
  return new TextDecoder().decode(stdout).includes("--digest");
}

function laminaCommands(subcommands: readonly (readonly string[])[], rest: (place: Place) => string[]): Contestant[] {
  return laminaPrograms().flatMap(({ name, words }) =>
    subcommands
      .filter((subcommand) => !subcommand.includes("--digest") || offersDigest(words))
      .map((subcommand): Contestant => ({
        name: `lamina ${subcommand.join(" ")}, ${name}`,
        clock: "process",
        run: (place) => [...words, ...storeArgs(place), ...subcommand, ...rest(place)],
      }))
  );
}

/** The options that name the store in which {@linkcode Place.tree} is the layer `base`. */
function storeArgs({ directory }: Place): string[] {
  return ["--root", `${directory}/store`, "--run-root", `${directory}/run`];
}

const GO_DRIVERS = [
  { name: "Docker overlay2 (Go)", driver: "moby-overlay2" },
  { name: "containers/storage overlay (Go)", driver: "cs-overlay" },
] as const;

function goDrivers(
  { gobench }: Peers,
  run: (driver: string, place: Place) => readonly string[],
  needsLayer: boolean,
): Contestant[] {
  if (gobench === undefined) return [];
  return GO_DRIVERS.map(({ name, driver }) => {
    const home = (place: Place): string[] => ["--home", `${place.directory}/${driver}`];
    const fill = (place: Place): Words => // One layer, which the measured runs find by its name.
    [gobench, driver, "apply", ...home(place), "--tar", place.archive, "--keep", "--id", LAYER];
    return {
      name,
      clock: "own",
      prepare: (place): Words[] => needsLayer ? [fill(place)] : [],
      run: (place) => [gobench, driver, ...run(driver, place), ...home(place)],
    };
  });
}

function containersStorage(
  { containersStorage: program }: Peers,
  needsLayer: boolean,
  run: (place: Place) => string[],
  more: (place: Place) => string[][] = () => [],
): Contestant[] {
  if (program === undefined) return [];
  const words = (place: Place, ...args: string[]): Words => // One store a contestant, beside the others' own.
  [
    program,
    args[0]!,
    "-s",
    "overlay",
    "-g",
    `${place.directory}/cs`,
    "-R",
    `${place.directory}/cs-run`,
    ...args.slice(1),
  ];
  return [{
    name: "containers-storage command",
    clock: "process",
    prepare: (place) => [
      words(place, "create-layer", "-n", LAYER),
      ...(needsLayer ? [words(place, "applydiff", "-f", place.archive, LAYER)] : []),
      ...more(place).map((args) => words(place, ...args)),
    ],
    run: (place) => words(place, ...run(place)),
  }];
}

function cFloor({ floor }: Peers, run: (place: Place) => string[], prepare?: (place: Place) => Words[]): Contestant[] {
  if (floor === undefined) return [];
  return [{
    name: "C floor",
    clock: "own",
    ...(prepare === undefined ? {} : { prepare }),
    run: (place) => [floor, ...run(place)],
  }];
}

/** The first one is what the others are compared with. */
export function applyContestants(peers: Peers): Contestant[] {
  return [
    ...cFloor(peers, (place) => ["untar", place.archive, tree(place)], makeTree),
    {
      name: "GNU tar -x",
      clock: "process",
      prepare: makeTree,
      run: (place) => ["tar", "-xf", place.archive, "-C", tree(place), ...TAR_EXTRACT],
    },
    ...goDrivers(peers, (_driver, place) => ["apply", "--tar", place.archive, "--keep"], false),
    ...containersStorage(peers, false, (place) => ["applydiff", "-f", place.archive, LAYER]),
    ...engine("apply", (place) => [place.archive, tree(place)], makeTree),
    ...laminaCommands([["apply"], ["apply", "--digest"]], (place) => ["base", place.archive]),
  ];
}

/** The first one is what the others are compared with. */
export function applyCompressedContestants(program: "gzip" | "zstd", peers: Peers): Contestant[] {
  return [
    {
      name: `${program} -dc \\| tar -x`,
      clock: "process",
      prepare: makeTree,
      run: (place) =>
        pipeline(
          `${program} -dc "$1" | tar -xf - -C "$2" ${TAR_EXTRACT.map((arg) => `'${arg}'`).join(" ")}`,
          place.archive,
          tree(place),
        ),
    },
    {
      name: `GNU tar -x --${program}`,
      clock: "process",
      prepare: makeTree,
      run: (place) => ["tar", `--${program}`, "-xf", place.archive, "-C", tree(place), ...TAR_EXTRACT],
    },
    ...containersStorage(peers, false, (place) => ["applydiff", "-f", place.archive, LAYER]),
    engine("apply", (place) => [place.archive, tree(place)], makeTree)[0]!,
    ...laminaCommands([["apply"], ["apply", "--digest"]], (place) => ["base", place.archive]),
  ];
}

/** The first one is what the others are compared with. */
export function diffContestants(peers: Peers): Contestant[] {
  return [
    ...cFloor(peers, (place) => ["tar", place.tree, place.output]),
    {
      name: "GNU tar -c",
      clock: "process",
      run: (place) => {
        const args = ["--sort=name", "--format=pax", ...TAR_XATTRS, "-C", place.tree, "."];
        if (place.output !== "/dev/null") return ["tar", "-cf", place.output, ...args];
        // Straight to /dev/null GNU tar would not even read the files.
        return pipeline('tar -cf - "$@" | cat >/dev/null', ...args);
      },
    },
    ...goDrivers(
      peers,
      (_driver, { output }) => ["diff", "--id", LAYER, "--out", output === "/dev/null" ? "null" : output],
      true,
    ),
    ...containersStorage(peers, true, (place) => ["diff", "-u", "-f", place.output, LAYER]),
    ...engine("diff", (place) => [place.tree, place.output]),
    ...laminaCommands([["diff"]], (place) => ["base", "-o", place.output]),
  ];
}

/** The first one is what the others are compared with. */
export function diffSizeContestants(peers: Peers): Contestant[] {
  return [
    ...cFloor(peers, (place) => ["walk", place.tree]),
    { name: "du -sb", clock: "process", run: (place) => ["du", "-sb", place.tree] },
    ...goDrivers(peers, () => ["diffsize", "--id", LAYER], true),
    ...containersStorage(peers, true, () => ["diffsize", LAYER]),
    ...engine("diff-size", (place) => [place.tree]),
  ];
}

/** The first one is what the others are compared with. */
export function changesContestants(peers: Peers): Contestant[] {
  const delta = (place: Place): { archive: string; tree: string } => place.delta!;
  return [
    ...cFloor(peers, (place) => ["changes", delta(place).tree, place.tree]),
    ...goDrivers(
      peers,
      (_driver, place) => ["changes", "--id", LAYER, "--delta", delta(place).archive, "--keep"],
      true,
    ),
    ...containersStorage(
      peers,
      true,
      () => ["changes", DELTA, LAYER],
      (place) => [["create-layer", "-n", DELTA, LAYER], ["applydiff", "-f", delta(place).archive, DELTA]],
    ),
    ...engine("changes", (place) => [delta(place).tree, place.tree]),
    ...engine("compare", (place) => [`${place.directory}/store`, `${place.directory}/run`]).map((contestant) => ({
      ...contestant,
      name: contestant.name.replace("engine", "engine on two mounts"),
    })),
  ];
}

/** How often a layer over so many others is mounted and unmounted. */
export interface MountCycles {
  cycles: number;
  layers: number;
}

/** The first one is what the others are compared with. */
export function mountContestants(peers: Peers, { cycles, layers }: MountCycles): Contestant[] {
  return [
    ...cFloor(peers, (place) => ["mountcycle", `${place.directory}/floor`, String(cycles), String(layers)]),
    ...goDrivers(peers, () => ["mountcycle", "--n", String(cycles), "--layers", String(layers)], false),
    ...laminaLayers("mount", cycles, layers),
  ];
}

/** How many layers are made, or removed, in chains of so many. */
export interface ManyLayers {
  count: number;
  depth: number;
}

/** The first one is what the others are compared with. */
export function layersContestants(operation: "create" | "remove", peers: Peers, many: ManyLayers): Contestant[] {
  const [count, depth] = [String(many.count), String(many.depth)];
  return [
    ...cFloor(peers, (place) => ["create", `${place.directory}/floor`, count, depth]).map((floor) => ({
      ...floor,
      operation,
    })),
    ...goDrivers(peers, () => [operation, "--n", count, "--depth", depth], false),
    ...laminaLayers(operation, many.count, many.depth),
    // What waiting for the disk costs: the usual policy is metadata.
    ...(["none", "full"] as const).map((sync) =>
      laminaDriver(`--sync ${sync}, warm`, [operation, count, depth, "warm", sync])
    ),
  ];
}

/** A store in this process, which the others are compared with, and one in an agent. */
export function agentContestants(operation: "calls" | "apply" | "diff", count: number): Contestant[] {
  return [["a store in the process", "in-process"], ["lamina's agent", "agent"]].map(([name, where]): Contestant => ({
    name: name!,
    clock: "own",
    run: (place) => {
      const what = operation === "calls" ? String(count) : place.archive;
      return [Deno.execPath(), "run", "--allow-all", "--quiet", AGENT, operation, where!, place.directory, what];
    },
  }));
}

/** The driver in a process of its own; warm: it has done so in another store before; long: many times. */
function laminaLayers(operation: string, count: number, layers: number): Contestant[] {
  return [["cold", "cold"], ["warm", "warm"], ["in use for long", "long"]].map(([how, state]) =>
    laminaDriver(how!, [operation, String(count), String(layers), state!])
  );
}

function laminaDriver(how: string, [operation, ...args]: readonly string[]): Contestant {
  return {
    name: `lamina's overlay2, ${how}`,
    clock: "own",
    run: (place) => {
      return [Deno.execPath(), "run", "--allow-all", "--quiet", LAYERS, operation!, place.directory, ...args];
    },
  };
}

/** Cold: the call is the first of its process. Warm: the second, after one on other files of the same kind. */
function engine(job: string, args: (place: Place) => string[], prepare?: (place: Place) => Words[]): Contestant[] {
  const shared = { clock: "own", ...(prepare === undefined ? {} : { prepare }) } as const;
  return [
    { ...shared, name: "lamina's engine, cold", run: (place) => engineWords(job, ...args(place)) },
    {
      ...shared,
      name: "lamina's engine, warm",
      run: (place) => engineWords(job, ...args(place), "--warm-up", place.archive, place.scratch),
    },
  ];
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Who gives a layer to other ids in the engine's bench.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { type Contestant, pipeline, type Place } from "./_contestants.ts";
import type { Words } from "./_command.ts";
import type { Peers } from "./_peers.ts";

/** The driver, timed in a process of its own by itself. */
const ID_MAPS = fileURLToPath(new URL("./_id_maps_process.ts", import.meta.url));

/** The first one is what the others are compared with: it copies the files, and has one owner for all. */
export function idMapContestants(peers: Peers): Contestant[] {
  return [
    {
      name: "cp -a, chown -R",
      clock: "process",
      prepare: ({ archive, directory }) => [
        ["mkdir", `${directory}/tree`],
        ["tar", "-xf", archive, "-C", `${directory}/tree`],
      ],
      run: ({ directory }) =>
        pipeline('cp -a "$1" "$2" && chown -R 100000:100000 "$2"', `${directory}/tree`, `${directory}/copy`),
    },
    ...containersStorage(peers, "by chown"),
    ...containersStorage(peers, "by id-mapped mount"),
    ...driver("remap", "lamina's remap"),
    ...driver("mount", "lamina's id-mapped mount"),
    ...driver("plain", "lamina's mount without maps"),
  ];
}

/** The command makes a container of an image, and mounts it. */
function containersStorage(
  { containersStorage: program }: Peers,
  way: "by chown" | "by id-mapped mount",
): Contestant[] {
  if (program === undefined) return [];
  const store = (
    { directory }: Place,
  ): string[] => ["-s", "overlay", "-g", `${directory}/cs`, "-R", `${directory}/cs-run`];
  const words = (
    place: Place,
    command: string,
    ...args: string[]
  ): Words => [program, command, ...store(place), ...args];
  const isSeen = (place: Place): string => `${place.directory}/cs-run/overlay/idmapped-lower-dir-false`;
  return [{
    name: `containers-storage command, ${way}`,
    clock: "process",
    prepare: (place) => [
      // It looks there for what it found out of the kernel before.
      ...(way === "by chown" ? [["install", "-D", "/dev/null", isSeen(place)] as const] : []),
      words(place, "create-layer", "-n", "layer"),
      words(place, "applydiff", "-f", place.archive, "layer"),
      words(place, "create-image", "-n", "image", "layer"),
    ],
    run: (place) =>
      pipeline(
        "program=$1 map=$2; shift 2; " +
          '"$program" create-container "$@" -n c --uidmap "$map" --gidmap "$map" image && "$program" mount "$@" c && ' +
          '"$program" unmount "$@" c',
        program,
        "0:100000:65536",
        ...store(place),
      ),
  }];
}

function driver(operation: string, name: string): Contestant[] {
  return ["cold", "warm"].map((state): Contestant => ({
    name: `${name}, ${state}`,
    clock: "own",
    run: ({ archive, directory }) => {
      const args = [operation, archive, `${directory}/lamina`, state];
      return [Deno.execPath(), "run", "--allow-all", "--quiet", ID_MAPS, ...args];
    },
  }));
}

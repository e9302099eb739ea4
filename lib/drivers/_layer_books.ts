// SPDX-License-Identifier: Apache-2.0

/**
 * Who refers to layers, and which layer is whose parent, in the books of the programs that own a store: dockerd's, where
 * its data-root is given, and those of containers/storage, which lie beside the home. Only read.
 *
 * ```
 * ROOT/overlay-layers/layers.json            layers: [{"id": …, "parent": …}, …]
 * ROOT/overlay-layers/volatile-layers.json   the same, of containers that are not to outlive the machine
 * ```
 *
 * @module
 */

import { AT_FDCWD, existsat } from "../../ffi/file.ts";
import { isStorageError } from "../errors.ts";
import { isLayerId } from "../layer_id.ts";
import type { Logger } from "../log.ts";
import { DockerFiles, recordOf } from "./_docker_files.ts";
import { readDockerMetadata } from "./docker_metadata.ts";

/** What is known of layers elsewhere. */
export interface LayerBooks {
  /** Whose books they are, as the end of a sentence: `dockerd's books in /var/lib/docker`. */
  readonly name: string;
  /** What else may refer to layers. */
  readonly reservation?: string;
  knows(id: string): boolean;
  /** The parent's id; null if the layer has none, undefined if that is not known. */
  parentOf(id: string): string | null | undefined;
}

/** dockerd's books in `dockerRoot`. */
export function dockerBooks(dockerRoot: string, driver: string, logger: Logger): LayerBooks {
  const metadata = readDockerMetadata({ dockerRoot, driver, logger });
  const hasBuildkit = existsat(AT_FDCWD, `${dockerRoot}/buildkit`);
  return {
    name: `dockerd's books in ${dockerRoot}`,
    ...(hasBuildkit ? { reservation: "BuildKit's cache has books of its own: see docker buildx du" } : {}),
    knows: (id) => metadata.knows(id),
    parentOf: (id) => metadata.parentOf(id),
  };
}

const LISTS = ["layers.json", "volatile-layers.json"] as const;

/** The books beside `home`; undefined where there are none. */
export function containersBooks(home: string, logger: Logger): LayerBooks | undefined {
  const directory = `${home}-layers`;
  if (!existsat(AT_FDCWD, `${directory}/${LISTS[0]}`)) return undefined;
  const parents = new Map<string, string | null>();
  try {
    using files = new DockerFiles(directory);
    for (const list of LISTS) {
      const text = files.textIfExists(list);
      if (text === undefined) continue;
      for (const layer of layersOf(files, list, text)) parents.set(...layer);
    }
  } catch (error) {
    // Books that cannot be read say nothing: then nothing is said about who refers to what.
    if (!isStorageError(error, "store_damaged")) throw error;
    logger.warn(error.message);
    return undefined;
  }
  return { name: `${directory}/${LISTS[0]}`, knows: (id) => parents.has(id), parentOf: (id) => parents.get(id) };
}

function layersOf(files: DockerFiles, list: string, text: string): [id: string, parent: string | null][] {
  const layers = parse(text);
  // containers/storage writes null for none.
  if (layers === null) return [];
  if (!Array.isArray(layers)) throw files.damaged(list, "is no list of layers");
  return layers.map((layer) => {
    const { id, parent = "" } = recordOf(layer) ?? {};
    if (typeof id !== "string" || !isLayerId(id)) throw files.damaged(list, "lists a layer without an id");
    if (typeof parent !== "string" || parent !== "" && !isLayerId(parent)) {
      throw files.damaged(list, `gives ${id} a parent that is no layer`);
    }
    return [id, parent === "" ? null : parent];
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * With `--docker-root`, layers have the names that dockerd knows: of the image whose top they are, or of a container.
 *
 * @module
 */

import type { DockerMetadata, DockerOwner } from "../drivers/docker_metadata.ts";
import { StorageError } from "../errors.ts";
import { isLayerId } from "../layer_id.ts";
import type { Context } from "./context.ts";

/** As many digits of an id as `docker` shows. */
const SHORT_ID = 12;

/** `image demo:1, demo:latest`; of what has no name, the beginning of its id. */
export function describeOwner({ kind, id, names }: DockerOwner): string {
  const tags = names.filter((name) => !name.includes("@"));
  const name = tags.length > 0 ? tags.join(", ") : id.slice(0, SHORT_ID);
  return kind === "init" ? `container ${name}, init` : `${kind} ${name}`;
}

/** What follows a layer's id on a line: ` [image demo:1]`. An image without a name counts only where nothing else does. */
export function ownersLabel(owners: readonly DockerOwner[] = []): string {
  const named = owners.filter(({ names }) => names.length > 0);
  const shown = named.length > 0 ? named : owners.slice(0, 1);
  return shown.length === 0 ? "" : ` [${shown.map(describeOwner).join("; ")}]`;
}

/** The layer that `word` means; undefined if it means nothing and cannot be an id. */
export async function findLayerId(word: string, { docker, openDriver }: Context): Promise<string | undefined> {
  const names = await docker();
  if (names === undefined) return word;
  const canBeId = isLayerId(word);
  return names.find(word, canBeId && await (await openDriver()).exists(word)) ?? (canBeId ? word : undefined);
}

/** @throws {StorageError} `invalid_argument`: a name that means several layers; `layer_not_found`: one that means none. */
export async function requireLayerId(word: string, context: Context): Promise<string> {
  const id = await findLayerId(word, context);
  if (id !== undefined) return id;
  throw new StorageError("layer_not_found", `There is no image, container or layer ${JSON.stringify(word)}`, {
    hint: "`lamina tree` with the same --docker-root shows the names",
  });
}

/**
 * The layers that `words` mean, none of which dockerd knows of.
 *
 * @throws {StorageError} As {@linkcode requireLayerId}; `layer_in_use`: a layer of dockerd's.
 */
export async function removableIds(words: readonly string[], context: Context): Promise<string[]> {
  const ids = await Promise.all(words.map((word) => requireLayerId(word, context)));
  const docker = await context.docker();
  for (const id of ids) if (docker?.knows(id)) throw dockersLayer(id, docker);
  return ids;
}

function dockersLayer(id: string, docker: DockerMetadata): StorageError {
  const [owner] = docker.ownersOf(id);
  const what = owner === undefined ? "a part of an image" : describeOwner(owner);
  return new StorageError("layer_in_use", `Cannot remove layer "${id}": dockerd has it in its books as ${what}`, {
    hint: "docker rmi and docker rm remove it there as well",
  });
}

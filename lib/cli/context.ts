// SPDX-License-Identifier: Apache-2.0

/**
 * What every command is given.
 *
 * @module
 */

import type { DockerMetadata } from "../drivers/docker_metadata.ts";
import type { GraphDriver, LayerInfo } from "../drivers/driver.ts";
import { StorageError } from "../errors.ts";
import type { Settings } from "./command.ts";
import type { Output } from "./output.ts";

/** The world of a command. */
export interface Context {
  readonly output: Output;
  readonly settings: Settings;
  /** Opens the store, once. It is never disposed: that would take back mounts which are to outlive this process. */
  openDriver(): Promise<GraphDriver>;
  /** What dockerd knows of the store's layers; undefined without `--docker-root`. Read once. */
  docker(): Promise<DockerMetadata | undefined>;
}

/** The context of a command line. */
export function makeContext(settings: Settings, output: Output): Context {
  let driver: Promise<GraphDriver> | undefined;
  const open = (): Promise<GraphDriver> => driver ??= openDriver(settings, output);
  let docker: Promise<DockerMetadata> | undefined;
  return {
    output,
    settings,
    openDriver: open,
    docker(): Promise<DockerMetadata | undefined> {
      const { dockerRoot } = settings;
      if (dockerRoot === undefined) return Promise.resolve(undefined);
      return docker ??= readDocker(dockerRoot, open, output);
    },
  };
}

async function readDocker(
  dockerRoot: string,
  open: () => Promise<GraphDriver>,
  { logger }: Output,
): Promise<DockerMetadata> {
  const { readDockerMetadata } = await import("../drivers/docker_metadata.ts");
  return readDockerMetadata({ dockerRoot, driver: (await open()).name, logger });
}

async function openDriver(settings: Settings, output: Output): Promise<GraphDriver> {
  const { socket } = settings;
  if (socket !== undefined) return await (await import("../agent/client.ts")).connect({ socket });
  const registry = await import("../drivers/registry.ts");
  const { root, home, runRoot, driver, mountApi, sync, storageOptions } = settings;
  return await registry.openDriver({
    ...(root === undefined ? {} : { root }),
    ...(home === undefined ? {} : { home }),
    ...(runRoot === undefined ? {} : { runRoot }),
    ...(driver === undefined ? {} : { driver }),
    ...(mountApi === undefined ? {} : { mountApi }),
    ...(sync === undefined ? {} : { sync }),
    options: storageOptions,
    logger: output.logger,
    work: "in-place",
  });
}

/** All layers, in the order of their ids. */
export async function listLayers(driver: GraphDriver): Promise<LayerInfo[]> {
  return await Array.fromAsync(driver.layers());
}

/** What `layers` tells of one layer; undefined if it is not there. */
export async function findLayer(driver: GraphDriver, id: string): Promise<LayerInfo | undefined> {
  for await (const layer of driver.layers()) if (layer.id === id) return layer;
  return undefined;
}

/** The error for a layer that is not there, where the driver would not mind. */
export function layerNotFound(
  action: string,
  id: string,
  hint = "`lamina ls` lists the layers of the store",
): StorageError {
  const message = `Cannot ${action} layer ${JSON.stringify(id)}: there is no such layer`;
  return new StorageError("layer_not_found", message, { hint });
}

/** A layer in JSON. What is not known is null: a field that is always there is easier to ask for. */
export function layerJson(
  { id, parent, depth, mounted, createdAt }: LayerInfo,
  docker?: DockerMetadata,
): Record<string, unknown> {
  const owners = docker === undefined ? {} : { docker: docker.ownersOf(id) };
  return { id, parent: parent ?? null, depth, mounted, createdAt: createdAt?.toISOString() ?? null, ...owners };
}

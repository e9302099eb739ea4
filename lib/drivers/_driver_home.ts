// SPDX-License-Identifier: Apache-2.0

/**
 * What all drivers ask of a home, in whatever format its layers are.
 *
 * @module
 */

import type { IdMaps } from "../id_map.ts";
import type { Logger } from "../log.ts";
import type { MountState } from "../mount/mount_program.ts";
import type { Mounter } from "../mount/mounter.ts";
import type { LayerMounts } from "./_layer_mounts.ts";
import type { Owner } from "./_owner.ts";
import type { ViewRecords } from "./_view_records.ts";

/** Where things lie in a home. */
export interface HomeLayout {
  readonly home: string;
  exists(id: string): boolean;
  layerIds(): string[];
  parentOf(id: string): string | undefined;
  depthOf(id: string): number;
  dir(id: string): string;
  /** The layer's own files. */
  contentDir(id: string): string;
  mergedDir(id: string): string;
  /** The directories that are stacked to show the layer, uppermost first. */
  treeDirs(id: string): string[];
  /** Whether another layer lies on this one. */
  isCommitted(id: string): boolean;
}

/** A home in use. */
export interface DriverHome extends Disposable {
  readonly layout: HomeLayout;
  readonly logger: Logger;
  readonly mounter: Mounter;
  readonly mounts: LayerMounts;
  /** The home is there. */
  readonly views: ViewRecords;
  readonly idMaps: IdMaps | undefined;
  /** An empty directory, to lie below a layer that has nothing else below it. */
  readonly emptyDir: string;
  /** What `get` mounted for the layer. */
  mountState(id: string): MountState;
  /** The host's ids of the container's root. */
  owner(): Owner;
  /** @throws {StorageError} `layer_not_found`. */
  lock(id: string): Promise<Disposable>;
  /** @throws {StorageError} `layer_not_found`. */
  requireLayer(id: string): void;
  /** @throws {StorageError} `layer_in_use`, `store_damaged`: the layer's content is not there, or not all of it. */
  requireWhole(id: string): void;
  /** @throws {StorageError} `store_damaged`: a directory that the layer is mounted from is missing. */
  requireDirectories(id: string): void;
}

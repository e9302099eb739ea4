// SPDX-License-Identifier: Apache-2.0

/**
 * What differs between the drivers whose layers have short names in `l/` and a `lower` file: names, modes and what lies
 * beside a layer's content. Everything else they share.
 *
 * @module
 */

import type { Owner } from "./_owner.ts";
import type { DriverName } from "./driver_name.ts";

/** One format of layers. Modes are exact, whatever the umask. */
export interface LayerFormat {
  /** The driver's name. */
  readonly driver: DriverName;
  /** How many layers may lie below a layer. */
  readonly maxDepth: number;
  /** How to have more, where there can be more. */
  readonly deeperHint?: string;
  readonly homeMode: number;
  readonly linkDirMode: number;
  readonly layerMode: number;
  /** Of the content of a base layer; other layers have their parent's. */
  readonly baseDiffMode: number;
  /** Whether a layer with a child gets the file `committed`. */
  readonly marksCommitted: boolean;
  /** Whom the directories around a layer's content belong to, given the container's root and ourselves. */
  outerOwner(root: Owner, ours: Owner): Owner;
  /** Makes what lies beside the content of a new layer at `layerDir`, but for files. */
  makeDirectories(layerDir: string, isBase: boolean, owner: Owner): void;
}

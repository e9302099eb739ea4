// SPDX-License-Identifier: Apache-2.0

/**
 * Whether this machine mounts under other ids.
 *
 * @module
 */

import { StorageError } from "../../lib/errors.ts";
import { IdMappedLowers } from "../../lib/mount/id_mapped_lowers.ts";
import type { Requirement } from "./requires.ts";
import { TempDir } from "./temp_dir.ts";

const MAPS = [{ containerId: 0, hostId: 100_000, size: 1 }];

/** The file system of the test directory takes id maps. No program of Debian 12 asks for that, so lamina's own code does. */
export const needsIdMappedMounts: Requirement = { name: "id-mapped mounts", missing: () => answer ??= probe() };

let answer: string | undefined;

function probe(): string | undefined {
  using directory = TempDir.makeSync();
  try {
    const overlay = { lowerDirs: [directory.path], upper: undefined, options: [] };
    using _lowers = new IdMappedLowers(overlay, { uidMaps: MAPS, gidMaps: MAPS });
    return undefined;
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    return `needs id-mapped mounts: ${error.message}`;
  }
}

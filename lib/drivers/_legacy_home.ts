// SPDX-License-Identifier: Apache-2.0

/**
 * One home of Docker's legacy `overlay` in use. What is so in any home is in _driver_home.ts.
 *
 * @module
 */

import { statfs } from "../../ffi/statfs.ts";
import { StorageError } from "../errors.ts";
import { DriverHome, type FoundInHome, type HomeSettings } from "./_driver_home.ts";
import type { LayerBooks } from "./_layer_books.ts";
import { LegacyLayout } from "./_legacy_layout.ts";
import type { Owner } from "./_owner.ts";

/** File systems that Docker's driver refuses, by the names that statfs gives them. */
const REFUSED: ReadonlySet<string> = new Set(["aufs", "btrfs", "ecryptfs", "nfs", "overlayfs", "zfs"]);

/** What the methods of the driver share. */
export class LegacyHome extends DriverHome<LegacyLayout> {
  readonly marksCommitted = true;
  protected readonly homeMode = 0o755;

  constructor(settings: HomeSettings) {
    super({ ...settings, checkHome: refuseFileSystem }, "overlay", new LegacyLayout(settings.home));
  }

  protected homeOwner(): Owner {
    return this.owner();
  }

  findChildOf(id: string): string | undefined {
    return this.layout.findChildOf(id);
  }

  /** @throws {StorageError} `store_damaged`: a directory of the layer, or of the image below it, is missing. */
  requireContent(id: string): void {
    const { layout } = this;
    const missing = layout.missingDirectory(id);
    if (missing === undefined) return;
    // It may have been removed since it was looked for.
    this.requireLayer(id);
    const why = missing.startsWith(`${layout.dir(id)}/`) ? "" : ` (${layout.lowerIdFile(id)} names it)`;
    throw new StorageError("store_damaged", `Cannot use layer "${id}": ${missing} is missing${why}`, {
      hint: `put it back, or remove the layer: lamina rm ${id}`,
    });
  }

  coversNothing(id: string): boolean {
    return this.layout.isImage(id);
  }

  async findProblems(books: LayerBooks | undefined, signal: AbortSignal | undefined): Promise<FoundInHome> {
    const { findLegacyProblems } = await import("./_check_legacy.ts");
    return await findLegacyProblems(this, books, signal);
  }

  requireDirectories(id: string): void {
    this.requireContent(id);
  }
}

function refuseFileSystem(home: string): void {
  const { name } = statfs(home);
  if (!REFUSED.has(name)) return;
  throw new StorageError(
    "incompatible_filesystem",
    `Cannot keep layers of the driver "overlay" in ${home}: its file system is ${name}, which Docker's driver refuses`,
    { hint: "use a directory on ext4, XFS or tmpfs, or the driver overlay2" },
  );
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Docker's `overlay2`, on Docker's own files: a store that dockerd made opens here, and the other way round. Most of it is
 * in _overlay_driver.ts.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { parseLayerId } from "../layer_id.ts";
import { MOST_LOWER_DIRS, type OverlayMount, readOnlyView } from "../mount/overlay.ts";
import type { HomeSettings } from "./_driver_home.ts";
import { sizeLimitOf } from "./_driver_options.ts";
import { attempt } from "./_graph_driver.ts";
import type { LayerFormat } from "./_layer_format.ts";
import { LayerHome } from "./_layer_home.ts";
import { LayerLayout } from "./_layer_layout.ts";
import { checkHome, leavePrivateHome } from "./_overlay2_checks.ts";
import { optionsOfMount } from "./_mount_options.ts";
import { parseOverlay2Options } from "./_overlay2_options.ts";
import { OverlayDriver } from "./_overlay_driver.ts";
import { makeOwnedDirectory } from "./_owner.ts";
import type { CreateOptions, GetOptions, StatusEntry } from "./driver.ts";

const WORK_MODE = 0o700;

const FORMAT: LayerFormat = {
  driver: "overlay2",
  // Docker's limit, for which a page of mount options is just enough.
  maxDepth: 128,
  deeperHint: `--storage-opt overlay2.max_depth=N allows up to ${MOST_LOWER_DIRS}`,
  homeMode: 0o710,
  linkDirMode: 0o700,
  layerMode: 0o710,
  baseDiffMode: 0o755,
  marksCommitted: true,
  // Ours, and searchable for the container's root.
  outerOwner: (root, ours) => ({ uid: ours.uid, gid: root.gid }),
  makeDirectories(layerDir, isBase, owner): void {
    if (!isBase) makeOwnedDirectory(`${layerDir}/work`, WORK_MODE, owner);
  },
};

/** How the driver is opened: as any home, and with the options of `overlay2`. */
export type Overlay2Settings = Omit<HomeSettings, "checkHome"> & { options: readonly string[] };

/** The driver. */
export class Overlay2Driver extends OverlayDriver {
  readonly #isPrivate: boolean;
  /** Limit on a read-write layer that is given none. */
  readonly #sizeBytes: number;

  /** @throws {StorageError} `invalid_argument`, `not_supported`: the options. */
  constructor(settings: Overlay2Settings) {
    const { mountOptions, maxDepth, sizeBytes, ...checks } = parseOverlay2Options(settings.options);
    const format = { ...FORMAT, maxDepth: maxDepth ?? FORMAT.maxDepth };
    const checked = { ...settings, checkHome: (home: string): void => checkHome(home, checks, settings.logger) };
    super(new LayerHome(checked, format, new LayerLayout(settings.home), mountOptions));
    this.#isPrivate = checks.privateHome;
    this.#sizeBytes = sizeBytes;
  }

  protected checkNewLayer(_id: string, { storageOptions }: CreateOptions, isReadWrite: boolean): number {
    return sizeLimitOf(storageOptions, isReadWrite, this.#sizeBytes);
  }

  createFromTemplate(id: string, template: string, options: CreateOptions = {}): Promise<void> {
    return attempt(`Cannot copy layer "${template}"`, () => this.#createFrom(template, id, options));
  }

  async #createFrom(unsafeTemplate: string, unsafeId: string, options: CreateOptions): Promise<void> {
    const [template, id] = [parseLayerId(unsafeTemplate), parseLayerId(unsafeId)];
    this.layerHome.requireLayer(template);
    const parent = this.layerHome.layout.parentOf(template);
    const sizeBytes = this.checkNewLayer(id, options, true);
    await this.makeLayer(id, parent, options.idMaps ?? this.layerHome.idMaps, sizeBytes, template);
  }

  protected isShownAsItLies(id: string, { readOnly, idMaps }: GetOptions): boolean {
    return readOnly !== true && idMaps === undefined && !this.layerHome.layout.hasLowers(id);
  }

  protected override overlayToShow(id: string, options: GetOptions): OverlayMount | undefined {
    const lowerDirs = this.layerHome.layout.mountLowers(id);
    const isShownAsItLies = lowerDirs.length === 0 && options.readOnly !== true && options.idMaps === undefined;
    return isShownAsItLies ? undefined : this.#overlayOn(lowerDirs, id, options);
  }

  protected overlayOf(id: string, options: GetOptions): OverlayMount {
    return this.#overlayOn(this.layerHome.layout.mountLowers(id), id, options);
  }

  /** A committed layer is a lower layer of others: it is shown on top of its own lowers, and nothing can be written. */
  #overlayOn(lowerDirs: string[], id: string, options: GetOptions): OverlayMount {
    const { layout } = this.layerHome;
    const all = optionsOfMount(this.layerHome.features.mountOptions, options);
    const upper = layout.ownDirs(id);
    const overlay = { lowerDirs, upper, options: all, idMaps: options.idMaps };
    // A base layer has no work directory: where it is not shown as it lies, nothing can be written.
    if (options.readOnly !== true && !this.layerHome.isCommitted(id) && lowerDirs.length > 0) return overlay;
    // Without an upper directory the kernel wants two others.
    if (lowerDirs.length === 0) lowerDirs.push(this.layerHome.emptyDir);
    return readOnlyView(overlay);
  }

  status(): Promise<StatusEntry[]> {
    return attempt<StatusEntry[]>(`Cannot tell the state of ${this.home}`, () => {
      const features = this.layerHome.prepare();
      return [
        ["Backing Filesystem", features.backingFileSystem],
        ["Supports d_type", "true"],
        ["Using metacopy", String(features.usingMetacopy)],
        ["Native Overlay Diff", String(features.nativeDiffRefusal === undefined)],
        ["userxattr", String(features.userxattr)],
      ];
    });
  }

  override async cleanup(): Promise<void> {
    await super.cleanup();
    if (!this.#isPrivate) return;
    await attempt(`Cannot unmount ${this.home}`, () => leavePrivateHome(this.home));
  }

  updateLayerIdMap(unsafeId: string): Promise<void> {
    return attempt(`Cannot give layer "${unsafeId}" to other ids`, () => {
      this.layerHome.requireLayer(parseLayerId(unsafeId));
      throw new StorageError(
        "not_supported",
        "overlay2 layers keep the owners they were made with: Docker's format has no id maps",
      );
    });
  }
}

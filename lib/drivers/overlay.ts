// SPDX-License-Identifier: Apache-2.0

/**
 * Docker's legacy `overlay`, on Docker's own files: images are whole trees that share their files by hard links, and
 * every mount has one lower layer. Docker had it until version 23; a store that it made opens here, and the other way
 * round. What lies where is in _legacy_layout.ts, how layers come and go in _legacy_create.ts, what is in them in
 * _legacy_content.ts.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import { parseLayerId } from "../layer_id.ts";
import type { OverlayMount } from "../mount/overlay_mount.ts";
import type { HomeSettings } from "./_driver_home.ts";
import { attempt, HomeDriver, parentToCompare, requireOwnParent } from "./_graph_driver.ts";
import { naiveDiffOf } from "./_legacy_content.ts";
import { copyLayer, createLayer, removeLayer, restoreMountPoint } from "./_legacy_create.ts";
import { LegacyHome } from "./_legacy_home.ts";
import { optionsOfMount } from "./_mount_options.ts";
import type {
  ApplyOptions,
  ApplyResult,
  Change,
  CompareOptions,
  CreateOptions,
  DiffOptions,
  DiffResult,
  FileDescriptor,
  GetOptions,
  LayerMetadata,
  RemoveOptions,
  StatusEntry,
} from "./driver.ts";

const NAME = "overlay";

/** How the driver is opened: as any home. It has no options. */
export type LegacyOverlaySettings = HomeSettings & { options: readonly string[] };

/** The driver. */
export class LegacyOverlayDriver extends HomeDriver<LegacyHome> {
  /** @throws {StorageError} `invalid_argument`: an option. */
  constructor({ options, ...settings }: LegacyOverlaySettings) {
    for (const option of options) {
      throw new StorageError("invalid_argument", `overlay: unknown option ${option.split("=", 1)[0]}`, {
        hint: "this driver has no options; overlay2 has",
      });
    }
    super(NAME, new LegacyHome(settings));
  }

  protected checkNewLayer(_id: string, { storageOptions = {} }: CreateOptions): number {
    for (const key of Object.keys(storageOptions)) {
      if (key.toLowerCase() !== "size") {
        throw new StorageError("invalid_argument", `Unknown option ${key}`, {
          hint: "layers of overlay have no options",
        });
      }
      throw new StorageError("not_supported", `Cannot use the option ${key}: layers of overlay have no options`, {
        hint: "leave it out, or use the driver overlay2",
      });
    }
    return 0;
  }

  protected makeLayer(id: string, parent: string | undefined, idMaps: IdMaps | undefined): Promise<void> {
    return createLayer(this.layerHome, id, parent, idMaps);
  }

  protected removeLayer(id: string, options: RemoveOptions): Promise<void> {
    return removeLayer(this.layerHome, id, options);
  }

  createFromTemplate(unsafeId: string, template: string, options: CreateOptions = {}): Promise<void> {
    return attempt(`Cannot copy layer "${template}"`, async () => {
      const id = parseLayerId(unsafeId);
      this.checkNewLayer(id, options);
      await copyLayer(this.layerHome, id, parseLayerId(template), options.idMaps ?? this.layerHome.idMaps);
    });
  }

  /** An image may share its files with others: it is shown as it lies only where nothing can be shared. */
  protected isShownAsItLies(id: string, { readOnly, idMaps }: GetOptions): boolean {
    const { layout } = this.layerHome;
    return readOnly !== true && idMaps === undefined && layout.isImage(id) && !this.#isShared(id);
  }

  #isShared(id: string): boolean {
    const { layout } = this.layerHome;
    return this.layerHome.isCommitted(id) || layout.recordedParent(id) !== undefined ||
      layout.findChildOf(id) !== undefined;
  }

  protected overlayOf(id: string, asked: GetOptions): OverlayMount {
    const { layout } = this.layerHome;
    const options = optionsOfMount(this.layerHome.prepare().mountOptions, asked);
    const { idMaps } = asked;
    // Without an upper directory the kernel wants two others.
    if (layout.isImage(id)) {
      return { lowerDirs: [layout.rootDir(id), this.layerHome.emptyDir], upper: undefined, options, idMaps };
    }
    const lowerDirs = [layout.rootDir(layout.lowerId(id))];
    const upperDir = layout.upperDir(id);
    if (asked.readOnly === true || this.layerHome.isCommitted(id)) {
      return { lowerDirs: [upperDir, ...lowerDirs], upper: undefined, options, idMaps };
    }
    return { lowerDirs, upper: { upperDir, workDir: layout.workDir(id) }, options, idMaps };
  }

  protected override unmounted(id: string): void {
    restoreMountPoint(this.layerHome, id);
  }

  status(): Promise<StatusEntry[]> {
    return attempt<StatusEntry[]>(`Cannot tell the state of ${this.home}`, () => [
      ["Backing Filesystem", this.layerHome.prepare().backingFileSystem],
      ["Supports d_type", "true"],
    ]);
  }

  getMetadata(unsafeId: string): Promise<LayerMetadata> {
    return attempt(`Cannot tell where layer "${unsafeId}" lies`, () => {
      const id = parseLayerId(unsafeId);
      const { layout } = this.layerHome;
      this.layerHome.requireLayer(id);
      return {
        upperDir: layout.contentDir(id),
        workDir: layout.workDir(id),
        mergedDir: this.layerHome.mountPoint(id),
        lowerDirs: layout.isImage(id) ? [] : [layout.rootDir(layout.lowerId(id))],
      };
    });
  }

  diff(unsafeId: string, options: DiffOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    return attempt(`Cannot read layer "${unsafeId}"`, () => {
      const id = parseLayerId(unsafeId);
      return naiveDiffOf(this.layerHome).diff(id, this.#baseOfDiff(id, options), options);
    });
  }

  diffTo(unsafeId: string, output: FileDescriptor, options: DiffOptions = {}): Promise<DiffResult> {
    return attempt(`Cannot read layer "${unsafeId}"`, () => {
      const id = parseLayerId(unsafeId);
      return naiveDiffOf(this.layerHome).diffTo(id, this.#baseOfDiff(id, options), output, options);
    });
  }

  #baseOfDiff(id: string, { parent, whole }: DiffOptions): string | undefined {
    return parentToCompare(this.layerHome, id, whole ? null : parent);
  }

  applyDiff(
    unsafeId: string,
    diff: ReadableStream<Uint8Array> | FileDescriptor,
    options: ApplyOptions = {},
  ): Promise<ApplyResult> {
    return attempt(`Cannot apply a diff to layer "${unsafeId}"`, async () => {
      const id = parseLayerId(unsafeId);
      requireOwnParent(this.layerHome, id, options.parent);
      return await naiveDiffOf(this.layerHome, options).applyDiff(id, diff, options);
    });
  }

  diffSize(unsafeId: string, options: CompareOptions = {}): Promise<number> {
    return attempt(`Cannot read layer "${unsafeId}"`, () => {
      const id = parseLayerId(unsafeId);
      return naiveDiffOf(this.layerHome).diffSize(id, parentToCompare(this.layerHome, id, options.parent), options);
    });
  }

  changes(unsafeId: string, options: CompareOptions = {}): Promise<Change[]> {
    return attempt(`Cannot read layer "${unsafeId}"`, () => {
      const id = parseLayerId(unsafeId);
      return naiveDiffOf(this.layerHome).changes(id, parentToCompare(this.layerHome, id, options.parent), options);
    });
  }

  updateLayerIdMap(unsafeId: string): Promise<void> {
    return attempt(`Cannot give layer "${unsafeId}" to other ids`, () => {
      this.layerHome.requireLayer(parseLayerId(unsafeId));
      throw new StorageError(
        "not_supported",
        "overlay layers keep the owners they were made with: images share their files",
      );
    });
  }
}

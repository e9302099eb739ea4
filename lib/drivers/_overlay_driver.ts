// SPDX-License-Identifier: Apache-2.0

/**
 * What drivers have in common whose layers have short names in `l/` and a `lower` file, beyond what all drivers share.
 * What lies where is in _layer_layout.ts, how layers come and go in _layer_create.ts, what is in them in
 * _layer_content.ts.
 *
 * @module
 */

import { asStorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import { parseLayerId } from "../layer_id.ts";
import { attempt, HomeDriver } from "./_graph_driver.ts";
import { applyDiff, changesOf, diffStream, diffTo, type Layers, sizeOf } from "./_layer_content.ts";
import { createLayer, removeLayer } from "./_layer_create.ts";
import type { LayerHome } from "./_layer_home.ts";
import { naiveDiffHost } from "./_layer_trees.ts";
import type {
  ApplyOptions,
  ApplyResult,
  Change,
  CompareOptions,
  DiffOptions,
  DiffResult,
  FileDescriptor,
  LayerMetadata,
  RemoveOptions,
} from "./driver.ts";
import { NaiveDiff } from "./naive_diff.ts";

/** A driver but for its options and its mounts. */
export abstract class OverlayDriver extends HomeDriver<LayerHome> {
  readonly #layers: Layers;

  constructor(layerHome: LayerHome) {
    super(layerHome.format.driver, layerHome);
    const host = naiveDiffHost(
      layerHome,
      (id, idMaps) => this.overlayOf(id, { readOnly: true, ...(idMaps === undefined ? {} : { idMaps }) }),
    );
    const naiveDiff = new NaiveDiff(host);
    this.#layers = { home: layerHome, naiveDiff };
  }

  protected makeLayer(
    id: string,
    parent: string | undefined,
    idMaps: IdMaps | undefined,
    sizeBytes: number,
  ): Promise<void> {
    return createLayer(this.layerHome, id, parent, idMaps, sizeBytes);
  }

  protected removeLayer(id: string, options: RemoveOptions): Promise<void> {
    return removeLayer(this.layerHome, id, options);
  }

  getMetadata(unsafeId: string): Promise<LayerMetadata> {
    return attempt(`Cannot tell where layer "${unsafeId}" lies`, () => {
      const id = parseLayerId(unsafeId);
      const { layout } = this.layerHome;
      this.layerHome.requireLayer(id);
      const quota = this.layerHome.quotas.read(layout.dir(id));
      return {
        upperDir: layout.diffDir(id),
        workDir: layout.workDir(id),
        mergedDir: this.layerHome.mountPoint(id),
        lowerDirs: layout.lowerDirs(id),
        ...(quota === undefined ? {} : { quota }),
      };
    });
  }

  diff(id: string, options: DiffOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    return attempt(`Cannot read layer "${id}"`, () => diffStream(this.#layers, parseLayerId(id), options));
  }

  diffTo(id: string, output: FileDescriptor, options: DiffOptions = {}): Promise<DiffResult> {
    return attempt(`Cannot read layer "${id}"`, () => diffTo(this.#layers, parseLayerId(id), output, options));
  }

  applyDiff(
    id: string,
    diff: ReadableStream<Uint8Array> | FileDescriptor,
    options: ApplyOptions = {},
  ): Promise<ApplyResult> {
    const action = `Cannot apply a diff to layer "${id}"`;
    return attempt(action, async () => {
      try {
        return await applyDiff(this.#layers, parseLayerId(id), diff, options);
      } catch (error) {
        throw this.layerHome.quotas.explain(asStorageError(error, action), this.layerHome.layout.dir(id));
      }
    });
  }

  diffSize(id: string, options: CompareOptions = {}): Promise<number> {
    return attempt(`Cannot read layer "${id}"`, () => sizeOf(this.#layers, parseLayerId(id), options));
  }

  changes(id: string, options: CompareOptions = {}): Promise<Change[]> {
    return attempt(`Cannot read layer "${id}"`, () => changesOf(this.#layers, parseLayerId(id), options));
  }
}

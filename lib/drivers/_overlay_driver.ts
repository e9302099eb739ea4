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
import type { Layers } from "./_layer_content.ts";
import type { LayerHome } from "./_layer_home.ts";
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

/** A driver but for its options and its mounts. */
export abstract class OverlayDriver extends HomeDriver<LayerHome> {
  #layers: Layers | undefined;
  /** Kept, since to import it again costs as much as a few system calls. */
  #making: typeof import("./_layer_create.ts") | undefined;

  constructor(layerHome: LayerHome) {
    super(layerHome.format.driver, layerHome);
  }

  /** What reads and writes contents, and what it does that with. */
  async #content(): Promise<{ content: typeof import("./_layer_content.ts"); layers: Layers }> {
    const content = await import("./_layer_content.ts");
    this.#layers ??= content.layersOf(
      this.layerHome,
      (id, idMaps) => this.overlayOf(id, { readOnly: true, ...(idMaps === undefined ? {} : { idMaps }) }),
    );
    return { content, layers: this.#layers };
  }

  protected async makeLayer(
    id: string,
    parent: string | undefined,
    idMaps: IdMaps | undefined,
    sizeBytes: number,
    template?: string,
  ): Promise<void> {
    this.#making ??= await import("./_layer_create.ts");
    await this.#making.createLayer(this.layerHome, id, parent, idMaps, sizeBytes, template);
  }

  protected async removeLayer(id: string, options: RemoveOptions): Promise<void> {
    this.#making ??= await import("./_layer_create.ts");
    await this.#making.removeLayer(this.layerHome, id, options);
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
    return attempt(`Cannot read layer "${id}"`, async () => {
      const { content, layers } = await this.#content();
      return await content.diffStream(layers, parseLayerId(id), options);
    });
  }

  diffTo(id: string, output: FileDescriptor, options: DiffOptions = {}): Promise<DiffResult> {
    return attempt(`Cannot read layer "${id}"`, async () => {
      const { content, layers } = await this.#content();
      return await content.diffTo(layers, parseLayerId(id), output, options);
    });
  }

  applyDiff(
    id: string,
    diff: ReadableStream<Uint8Array> | FileDescriptor,
    options: ApplyOptions = {},
  ): Promise<ApplyResult> {
    const action = `Cannot apply a diff to layer "${id}"`;
    return attempt(action, async () => {
      try {
        const { content, layers } = await this.#content();
        return await content.applyDiff(layers, parseLayerId(id), diff, options);
      } catch (error) {
        throw this.layerHome.quotas.explain(asStorageError(error, action), this.layerHome.layout.dir(id));
      }
    });
  }

  diffSize(id: string, options: CompareOptions = {}): Promise<number> {
    return attempt(`Cannot read layer "${id}"`, async () => {
      const { content, layers } = await this.#content();
      return await content.sizeOf(layers, parseLayerId(id), options);
    });
  }

  changes(id: string, options: CompareOptions = {}): Promise<Change[]> {
    return attempt(`Cannot read layer "${id}"`, async () => {
      const { content, layers } = await this.#content();
      return await content.changesOf(layers, parseLayerId(id), options);
    });
  }
}

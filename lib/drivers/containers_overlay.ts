// SPDX-License-Identifier: Apache-2.0

/**
 * The `overlay` of containers/storage, which Podman, Buildah and CRI-O use, on its own files: a store that they made
 * opens here, and the other way round. Most of it is in _overlay_driver.ts.
 *
 * Their programs know a layer only if it is in `ROOT/overlay-layers/layers.json`, which lamina leaves alone: a layer
 * that both are to use is made by them, and filled by either.
 *
 * @module
 */

import { AT_FDCWD, existsat } from "../../ffi/file.ts";
import { StorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import { parseLayerId } from "../layer_id.ts";
import { overrideOptions } from "../mount/mount_options.ts";
import { ProgramMounter } from "../mount/mounter.ts";
import { type OverlayMount, readOnlyView } from "../mount/overlay.ts";
import { makeRunDirectory } from "../util/run_file.ts";
import { ContainersHome } from "./_containers_home.ts";
import { ContainersLayout, LINK_DIR_MODE } from "./_containers_layout.ts";
import { parseContainersOptions } from "./_containers_options.ts";
import type { HomeSettings } from "./_driver_home.ts";
import { sizeLimitOf } from "./_driver_options.ts";
import { attempt } from "./_graph_driver.ts";
import type { LayerFormat } from "./_layer_format.ts";
import { optionsOfMount } from "./_mount_options.ts";
import { OverlayDriver } from "./_overlay_driver.ts";
import { makeOwnedDirectory } from "./_owner.ts";
import type {
  ApplyOptions,
  ApplyResult,
  CreateOptions,
  FileDescriptor,
  GetOptions,
  RemapOptions,
  RemoveOptions,
  StatusEntry,
} from "./driver.ts";

/** What a mount program is told where files have their owners and modes in attributes. */
const OWNERS_FROM_ATTRIBUTES = "xattr_permissions=2";

const SIDE_MODE = 0o700;

const FORMAT: LayerFormat = {
  driver: "containers-overlay",
  // What fsconfig(2) takes; so deep a store mounts there only.
  maxDepth: 500,
  homeMode: 0o700,
  linkDirMode: LINK_DIR_MODE,
  layerMode: 0o700,
  baseDiffMode: 0o555,
  marksCommitted: false,
  outerOwner: (root) => root,
  makeDirectories(layerDir, isBase, owner): void {
    for (const name of ["work", "merged", ...(isBase ? ["empty"] : [])]) {
      makeOwnedDirectory(`${layerDir}/${name}`, SIDE_MODE, owner);
    }
  },
};

/** Directories that containers/storage keeps beside the layers. */
const RESERVED_NAMES: readonly string[] = ["staging", "tempdirs"];

/** How the driver is opened: as any home, and with options of containers/storage. */
export type ContainersOverlaySettings = HomeSettings & { options: readonly string[] };

/** The driver. */
export class ContainersOverlayDriver extends OverlayDriver {
  readonly #layout: ContainersLayout;
  readonly #mountOptions: readonly string[];
  readonly #mountProgram: string | undefined;
  /** Limit on a read-write layer that is given none. */
  readonly #sizeBytes: number;

  /** @throws {StorageError} `invalid_argument`, `not_supported`: the options. */
  constructor(settings: ContainersOverlaySettings) {
    const { imageStores, mountOptions, mountProgram, rules, sizeBytes } = parseContainersOptions(settings.options);
    const usable = mountOptions.filter((option) => isKnown(option, settings));
    const mountRoot = `${settings.runRoot}/${FORMAT.driver}-image-store-layers`;
    const layout = new ContainersLayout(settings.home, imageStores, mountRoot, settings.logger);
    const mounter = mountProgram === undefined ? settings.mounter : new ProgramMounter(mountProgram, settings.logger);
    super(new ContainersHome({ ...settings, mounter }, FORMAT, layout, usable.filter(changesAnswers), rules));
    this.#layout = layout;
    this.#mountOptions = usable;
    this.#mountProgram = mountProgram;
    this.#sizeBytes = sizeBytes;
  }

  protected checkNewLayer(id: string, { storageOptions }: CreateOptions, isReadWrite: boolean): number {
    if (RESERVED_NAMES.includes(id)) {
      throw new StorageError("invalid_argument", `Cannot use "${id}" as a layer id: containers/storage uses the name`);
    }
    const sizeBytes = sizeLimitOf(storageOptions, isReadWrite, this.#sizeBytes);
    if (isReadWrite && this.#showsMasks) {
      throw new StorageError("not_supported", `Cannot make "${id}" to be written in: the option force_mask is set`, {
        hint: "the kernel shows masks, not owners: name a mount program, or make the layer without --read-write",
      });
    }
    return sizeBytes;
  }

  /** Makes a child of the template: that has the same content, and copies nothing. */
  createFromTemplate(id: string, template: string, options: CreateOptions = {}): Promise<void> {
    return attempt(`Cannot make a layer like "${template}"`, async () => {
      const parent = parseLayerId(template);
      this.layerHome.requireLayer(parent);
      if (this.#showsMasks) await this.create(id, { ...options, parent });
      else await this.createReadWrite(id, { ...options, parent });
    });
  }

  override remove(unsafeId: string, options: RemoveOptions = {}): Promise<void> {
    return attempt(`Cannot remove layer "${unsafeId}"`, async () => {
      this.#requireOwn(parseLayerId(unsafeId), "remove");
      await super.remove(unsafeId, options);
    });
  }

  override applyDiff(
    unsafeId: string,
    diff: ReadableStream<Uint8Array> | FileDescriptor,
    options: ApplyOptions = {},
  ): Promise<ApplyResult> {
    return attempt(`Cannot apply a diff to layer "${unsafeId}"`, async () => {
      this.#requireOwn(parseLayerId(unsafeId), "fill");
      return await super.applyDiff(unsafeId, diff, options);
    });
  }

  /** Whether files have another owner and mode on disk than in the layer. */
  get #isMasked(): boolean {
    return this.layerHome.rules.forceMask !== undefined;
  }

  /** Whether that is what mounts show. */
  get #showsMasks(): boolean {
    return this.#isMasked && this.#mountProgram === undefined;
  }

  #requireOwn(id: string, action: string): void {
    const store = this.#layout.storeOf(id);
    if (store === undefined) return;
    throw new StorageError("store_read_only", `Cannot ${action} layer "${id}": it lies in the image store ${store}`, {
      hint: "work on that store itself: --home",
    });
  }

  protected isShownAsItLies(): boolean {
    return false;
  }

  protected overlayOf(id: string, asked: GetOptions): OverlayMount {
    const layout = this.#layout;
    // What was written with metacopy can only be read with it: that is among the home's own options.
    const always = this.layerHome.prepare().mountOptions;
    const isChosen = (asked.mountOptions ?? []).length > 0;
    const options = optionsOfMount(isChosen ? always : overrideOptions(always, this.#mountOptions), asked);
    if (this.#isMasked && !this.#showsMasks) options.push(OWNERS_FROM_ATTRIBUTES);
    const lowerDirs = layout.mountLowers(id);
    if (lowerDirs.length === 0) lowerDirs.push(this.#emptyDir(id));
    if (layout.storeOf(id) !== undefined) makeRunDirectory(layout.mountRoot);
    const upper = layout.ownDirs(id);
    const overlay = { lowerDirs, upper, options, idMaps: asked.idMaps };
    const isReadOnly = asked.readOnly === true || options.includes("ro") || this.#showsMasks ||
      this.layerHome.isCommitted(id);
    return isReadOnly ? readOnlyView(overlay) : overlay;
  }

  #emptyDir(id: string): string {
    const emptyDir = this.#layout.emptyDir(id);
    return existsat(AT_FDCWD, emptyDir) ? emptyDir : this.layerHome.emptyDir;
  }

  status(): Promise<StatusEntry[]> {
    return attempt<StatusEntry[]>(`Cannot tell the state of ${this.home}`, () => {
      const features = this.layerHome.prepare();
      return [
        ["Backing Filesystem", features.backingFileSystem],
        ["Supports d_type", "true"],
        ["Native Overlay Diff", String(features.nativeDiffRefusal === undefined)],
        ["Using metacopy", String(features.usingMetacopy)],
        ...(this.#mountProgram === undefined ? [] : [["Mount Program", this.#mountProgram] as const]),
      ];
    });
  }

  updateLayerIdMap(
    unsafeId: string,
    from: IdMaps | undefined,
    to: IdMaps | undefined,
    { mountLabel = "", ...work }: RemapOptions = {},
  ): Promise<void> {
    return attempt(`Cannot give layer "${unsafeId}" to other ids`, async () => {
      const id = parseLayerId(unsafeId);
      this.layerHome.requireLayer(id);
      this.#requireOwn(id, "change");
      if (this.#isMasked) {
        throw new StorageError(
          "not_supported",
          `Cannot give layer "${id}" to other ids: force_mask keeps owners apart`,
          {
            hint: "a mount program can show such a layer under other ids",
          },
        );
      }
      const mountOptions = this.overlayOf(id, { mountLabel }).options.filter((option) => option !== "ro");
      const { remapLayer } = await import("./_layer_remap.ts");
      await remapLayer(this.layerHome, id, { from, to, mountOptions }, work);
    });
  }
}

/** Whether a mount option of the configuration can be used; storage.conf asks for metacopy on every kernel. */
function isKnown(option: string, { logger }: HomeSettings): boolean {
  if (!option.startsWith("metacopy=") || existsat(AT_FDCWD, "/sys/module/overlay/parameters/metacopy")) return true;
  logger.warn(`leaving out the mount option ${option}: the kernel has none such`);
  return false;
}

/** Whether the kernel, or a mount program, may do other things with the option than without. */
function changesAnswers(option: string): boolean {
  return /^(?:metacopy|redirect_dir|index|xino|xattr_permissions)=/.test(option);
}

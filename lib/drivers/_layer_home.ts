// SPDX-License-Identifier: Apache-2.0

/**
 * One home in use whose layers have short names. What is so in any home is in _driver_home.ts.
 *
 * @module
 */

import { isDirectory, isNoDirectory } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import type { OverlayFeatures } from "../mount/overlay_features.ts";
import type { ShortNameRules } from "./_check_short_names.ts";
import { ChildIndex } from "./_child_index.ts";
import { type ContentRules, PLAIN } from "./_content_rules.ts";
import { DriverHome, type FoundInHome, type HomeSettings } from "./_driver_home.ts";
import type { LayerBooks } from "./_layer_books.ts";
import type { LayerFormat } from "./_layer_format.ts";
import { type LayerLayout, LINK_DIR, requireNoLink } from "./_layer_layout.ts";
import { LayerQuotas } from "./_layer_quotas.ts";
import { ourselves, type Owner } from "./_owner.ts";

/** What lies in the home beside the layers. */
const OWN_NAMES: ReadonlySet<string> = new Set([LINK_DIR, "backingFsBlockDev"]);
/** Of an apply through a mount: see _layer_trees.ts. */
const NAIVE_WORK = ".lamina-applying-work";
/** What Docker's legacy driver has in a layer. */
const LEGACY_SIGNS: readonly string[] = ["root", "upper", "lower-id"];

/** What the methods of the drivers share whose layers have short names. */
export class LayerHome extends DriverHome<LayerLayout> {
  readonly marksCommitted: boolean;
  protected readonly homeMode: number;
  /** The size limits of its layers. */
  readonly quotas: LayerQuotas;
  #children: ChildIndex | undefined;

  /**
   * @param kernelOptions Mount options of the driver by which the kernel's answers may change.
   * @param rules How owners and modes are kept.
   */
  constructor(
    settings: HomeSettings,
    readonly format: LayerFormat,
    layout: LayerLayout,
    kernelOptions: readonly string[] = [],
    readonly rules: ContentRules = PLAIN,
  ) {
    super(settings, format.driver, layout, kernelOptions);
    this.marksCommitted = format.marksCommitted;
    this.homeMode = format.homeMode;
    this.quotas = new LayerQuotas(layout.home, settings.logger);
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#children?.[Symbol.dispose]();
  }

  /** Whom the directories around a layer's content belong to. */
  outerOwner(idMaps: IdMaps | undefined = this.idMaps): Owner {
    return idMaps === undefined ? ourselves() : this.format.outerOwner(this.owner(idMaps), ourselves());
  }

  protected homeOwner(): Owner {
    return this.outerOwner();
  }

  /** @throws {StorageError} `store_damaged`: something else is in place of the directory of short names. */
  override prepare(): OverlayFeatures {
    const { home } = this.layout;
    const links = `${home}/${LINK_DIR}`;
    if (isDirectory(links)) return this.features;
    if (isNoDirectory(links)) {
      throw new StorageError("store_damaged", `Cannot keep layers in ${home}: ${links} is no directory`, {
        hint: "make it again from the layers' own files: lamina check --repair",
      });
    }
    // What cannot carry layers stays empty.
    const { features } = this;
    this.makeShared(links, this.format.linkDirMode, ourselves());
    return features;
  }

  /** @param link Its short name, where that is known already. */
  findChildOf(id: string, link: string | undefined = this.layout.shortName(id)): string | undefined {
    if (link === undefined) return this.layout.findChildOf(id);
    const child = (this.#children ??= ChildIndex.tryMake(this.layout))?.find(link);
    if (child !== null && this.#children !== undefined) return child;
    this.#children?.[Symbol.dispose]();
    this.#children = undefined;
    return this.layout.findChildOf(id);
  }

  coversNothing(id: string): boolean {
    return !this.layout.hasLowers(id);
  }

  async findProblems(books: LayerBooks | undefined, signal: AbortSignal | undefined): Promise<FoundInHome> {
    const { findShortNameProblems } = await import("./_check_short_names.ts");
    return await findShortNameProblems(this, this.checkRules, books, signal);
  }

  /** What is right in this format. */
  protected get checkRules(): ShortNameRules {
    return {
      names: { home: OWN_NAMES, leftInLayer: (name) => name === NAIVE_WORK, signsOfOthers: LEGACY_SIGNS },
      linkDirMode: this.format.linkDirMode,
      keepsMountPoints: false,
      // A base layer has none.
      hasParents: (_id, { names }) => names.has("work"),
      needsWork: ({ names }) => names.has("lower"),
      isElsewhere: () => false,
      findMore: () => [],
    };
  }

  /** Why the layer's own directory does not tell all that it changed; undefined if it does. */
  nativeDiffRefusal(id: string): string | undefined {
    return this.features.nativeDiffRefusal ?? this.layout.nativeDiffRefusal(id);
  }

  /** How owners and modes are kept of what mounts show: a mount program shows files as their attribute has them. */
  get shownRules(): ContentRules {
    return this.hasMarkers ? { ...this.rules, forceMask: undefined } : this.rules;
  }

  /** Whether deletions are files named `.wh.…` here, as mount programs have it. */
  get hasMarkers(): boolean {
    return this.features.whiteouts === "files";
  }

  /** @throws {StorageError} `store_damaged`: the directory of the layer's content is missing. */
  requireContent(id: string): void {
    const content = this.layout.diffDir(id);
    if (isDirectory(content)) return;
    // It may have been removed since it was looked for.
    this.requireLayer(id);
    requireNoLink(id, content);
    throw new StorageError("store_damaged", `Cannot use layer "${id}": ${content} is missing`);
  }

  override requireMountable(id: string): void {
    this.requireNoneOnItsWay(id);
  }

  /** @throws {StorageError} `store_damaged`: a directory that the layer is mounted from is missing. */
  requireDirectories(id: string): void {
    const missing = this.layout.missingDirectory(id);
    if (missing === undefined) return;
    throw new StorageError("store_damaged", `Cannot use layer "${id}": ${missing} is missing, or leads nowhere`);
  }
}

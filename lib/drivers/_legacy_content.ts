// SPDX-License-Identifier: Apache-2.0

/**
 * What is in a layer of Docker's legacy `overlay`: how it is shown to be compared, and how new content is made aside and
 * put in place. naive_diff.ts does the rest.
 *
 * A diff makes an image of a layer: a copy of the parent's tree by hard links, into which the diff is unpacked. That
 * replaces files and never writes into them, so the parent's stay what they are. Where the parent is no image (or there
 * is none), the diff goes to a copy of what the layer has, and the layer stays what it is.
 *
 * @module
 */

import { AT_FDCWD, existsat, mkdirat, RENAME_EXCHANGE, renameat2 } from "../../ffi/file.ts";
import { statat } from "../../ffi/stat.ts";
import type { IdMaps } from "../id_map.ts";
import { mountAside, pathOf } from "../mount/mount_aside.ts";
import { overlayXattrs } from "../mount/overlay_features.ts";
import { replaceFile } from "../util/atomic_write.ts";
import { beginApply, isEmptyDirectory, notEmpty, requireUnmounted } from "./_layer_aside.ts";
import { stageManifest } from "./_layer_manifest.ts";
import { LayerPin } from "./_layer_pin.ts";
import type { LegacyHome } from "./_legacy_home.ts";
import { makeOwnedDirectory } from "./_owner.ts";
import type { WorkOptions } from "./driver.ts";
import { NaiveDiff, type SeenTree, type StagedTree } from "./naive_diff.ts";

/** The content as it is replaced: a name of ours beside Docker's. */
const REPLACED = ".lamina-upper";
const PARENT_MODE = 0o600;
const PRIVATE_MODE = 0o700;

/** Comparing and filling layers of `home`. `work` watches what comes before the work itself: the copy of the parent. */
export function naiveDiffOf(home: LegacyHome, work: WorkOptions = {}): NaiveDiff {
  return new NaiveDiff({
    see: (id, idMaps) => see(home, id, idMaps),
    stage: (id) => stage(home, id, work),
    runner: home.runner,
    get workers() {
      return home.workers;
    },
    idMaps: home.idMaps,
    get overlayXattrs() {
      return overlayXattrs(home.features);
    },
    logger: home.logger,
  });
}

/** Shows a layer without a place in the file system that somebody would have to clear away. */
async function see(home: LegacyHome, id: string, idMaps: IdMaps | undefined): Promise<SeenTree> {
  using _lock = await home.lock(id);
  home.requireWhole(id);
  const { layout } = home;
  using undo = new DisposableStack();
  const pin = undo.use(new LayerPin(layout, id));
  const seen = (path: string): SeenTree => {
    const all = undo.move();
    return { path, pin, [Symbol.asyncDispose]: () => Promise.resolve(all.dispose()) };
  };
  const isImage = layout.isImage(id);
  if (isImage && idMaps === undefined) return seen(layout.rootDir(id));
  const lowerDirs = isImage
    ? [layout.rootDir(id), home.emptyDir]
    : [layout.upperDir(id), layout.rootDir(layout.lowerId(id))];
  const overlay = { lowerDirs, upper: undefined, options: home.features.mountOptions, idMaps };
  const show = (target: string): void | Promise<void> => home.mounter.show(overlay, home.mountPoint(id), target);
  return seen(pathOf(undo.use(await mountAside(home.asideDir, show))));
}

/** Begins new content for the layer `id`. */
async function stage(home: LegacyHome, id: string, work: WorkOptions): Promise<StagedTree> {
  await using undo = new AsyncDisposableStack();
  const apply = await beginApply(home, id, {
    requireFillable: () => requireFillable(home, id),
    clear: () => clearStaged(home, id),
    make: (applying) => makeOwnedDirectory(applying, PRIVATE_MODE, home.owner()),
  });
  undo.use(apply);
  undo.defer(() => clearStaged(home, id));
  const { layout } = home;
  const isCopy = layout.copiedFrom(id) !== undefined;
  const staged = isCopy ? await stageUpper(home, id, work, undo) : await stageRoot(home, id, work);
  const all = undo.move();
  return {
    path: staged.path,
    contentDir: undefined,
    async commit(manifest): Promise<void> {
      staged.close();
      using written = manifest && await stageManifest(home, id, staged.contentDir, manifest);
      await home.sync.content(layout.applyingDir(id));
      using _lock = await home.lock(id);
      await requireFillable(home, id);
      await staged.commit();
      written?.putInPlace();
      await home.sync.names(layout.dir(id));
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** @throws {StorageError} `layer_in_use`, `layer_not_empty`. */
async function requireFillable(home: LegacyHome, id: string): Promise<void> {
  requireUnmounted(home, id);
  if (!await isUntouched(home, id)) throw notEmpty(id);
}

/** Whether the layer holds nothing but what it got from its parent. */
async function isUntouched(home: LegacyHome, id: string): Promise<boolean> {
  const { layout } = home;
  const copiedFrom = layout.copiedFrom(id);
  if (copiedFrom === undefined) return isEmptyDirectory(layout.contentDir(id));
  const trees = { newer: layout.upperDir(id), older: layout.upperDir(copiedFrom) };
  const changes = await home.runner.run("compare", { ...trees, overlayXattrs: overlayXattrs(home.features) });
  return changes.length === 0;
}

/** Content in the making, without what all kinds of it have in common. */
interface Staged {
  path: string;
  /** What becomes the layer's own content. */
  contentDir: string;
  /** Nothing is written any more. */
  close(): void;
  /** Makes it the layer's; the layer is locked. */
  commit(): Promise<void>;
}

async function stageRoot(home: LegacyHome, id: string, work: WorkOptions): Promise<Staged> {
  const { layout } = home;
  const path = `${layout.applyingDir(id)}/root`;
  const parent = layout.isImage(id) ? undefined : layout.lowerId(id);
  const model = statat(AT_FDCWD, layout.contentDir(id));
  makeOwnedDirectory(path, model.mode & 0o7777, model);
  if (parent !== undefined) {
    home.requireWhole(parent);
    await home.runner.run("copy", { source: layout.rootDir(parent), target: path, mode: "link" }, work);
  }
  return {
    path,
    contentDir: path,
    close(): void {},
    async commit(): Promise<void> {
      // From the rename on the layer is an image, and then nothing else tells its parent.
      if (parent !== undefined) replaceFile(layout.parentFile(id), parent, PARENT_MODE, home.sync.isOn);
      renameat2(AT_FDCWD, path, AT_FDCWD, layout.rootDir(id));
      for (const name of ["upper", "work", "merged", "lower-id"]) {
        await home.runner.run("remove", { directory: layout.dir(id), name });
      }
    },
  };
}

async function stageUpper(
  home: LegacyHome,
  id: string,
  work: WorkOptions,
  undo: AsyncDisposableStack,
): Promise<Staged> {
  const { layout } = home;
  const applying = layout.applyingDir(id);
  const [upperDir, workDir] = [`${applying}/upper`, `${applying}/work`];
  for (const path of [upperDir, workDir]) mkdirat(AT_FDCWD, path, PRIVATE_MODE);
  await home.runner.run("copy", { source: layout.upperDir(id), target: upperDir, mode: "copy" }, work);
  const lowerDirs = [layout.rootDir(layout.lowerId(id))];
  const overlay = { lowerDirs, upper: { upperDir, workDir }, options: home.features.mountOptions };
  const root = undo.use(await mountAside(home.asideDir, (target) => home.mounter.mount(overlay, target)));
  return {
    path: pathOf(root),
    contentDir: upperDir,
    close: () => root[Symbol.dispose](),
    async commit(): Promise<void> {
      const replaced = `${layout.dir(id)}/${REPLACED}`;
      renameat2(AT_FDCWD, upperDir, AT_FDCWD, replaced);
      renameat2(AT_FDCWD, replaced, AT_FDCWD, layout.upperDir(id), RENAME_EXCHANGE);
      await home.runner.run("remove", { directory: layout.dir(id), name: REPLACED });
    },
  };
}

async function clearStaged(home: LegacyHome, id: string): Promise<void> {
  const { layout } = home;
  try {
    for (const path of [layout.applyingDir(id), `${layout.dir(id)}/${REPLACED}`]) {
      if (!existsat(AT_FDCWD, path)) continue;
      await home.runner.run("remove", { directory: layout.dir(id), name: path.slice(layout.dir(id).length + 1) });
    }
  } catch (error) {
    // The failure that led here is the one to be told.
    home.logger.warn(`cannot clear ${layout.applyingDir(id)} away: ${error instanceof Error ? error.message : error}`);
  }
}

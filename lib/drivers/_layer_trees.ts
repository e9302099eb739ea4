// SPDX-License-Identifier: Apache-2.0

/**
 * Layers as whole trees: how one is seen, or filled, through a mount that nobody else knows of.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat, tryMkdirat } from "../../ffi/file.ts";
import type { IdMaps } from "../id_map.ts";
import { mountAside, pathOf } from "../mount/mount_aside.ts";
import { overlayXattrs } from "../mount/overlay_features.ts";
import type { OverlayMount } from "../mount/overlay_mount.ts";
import { removeTree } from "../util/remove_tree.ts";
import { beginLayerApply, finishApply, giveUpApply } from "./_layer_apply.ts";
import type { LayerHome } from "./_layer_home.ts";
import { stageManifest } from "./_layer_manifest.ts";
import { LayerPin } from "./_layer_pin.ts";
import type { NaiveDiffHost, SeenTree, StagedTree } from "./naive_diff.ts";

/** Tells what mount shows a layer, under `idMaps` if there are any, without letting anybody write to it. */
export type OverlayOf = (id: string, idMaps: IdMaps | undefined) => OverlayMount;

/** What the naive diff needs of a home. */
export function naiveDiffHost(home: LayerHome, overlayOf: OverlayOf): NaiveDiffHost {
  return {
    see: (id, idMaps) => seeTree(home, overlayOf, id, idMaps),
    stage: (id) => stageTree(home, id),
    runner: home.runner,
    get workers() {
      return home.workers;
    },
    idMaps: home.idMaps,
    get rules() {
      return home.shownRules;
    },
    newRootMode: home.format.baseDiffMode,
    get overlayXattrs() {
      return overlayXattrs(home.features);
    },
    logger: home.logger,
  };
}

async function seeTree(
  home: LayerHome,
  overlayOf: OverlayOf,
  id: string,
  idMaps: IdMaps | undefined,
): Promise<SeenTree> {
  const { layout } = home;
  home.requireLayer(id);
  using _lock = await home.lock(id);
  home.requireWhole(id);
  const mergedDir = home.mountPoint(id);
  using undo = new DisposableStack();
  const pin = undo.use(new LayerPin(layout, id));
  const show = (target: string): void | Promise<void> => home.mounter.show(overlayOf(id, idMaps), mergedDir, target);
  const root = undo.use(await mountAside(home.asideDir, show));
  const both = undo.move();
  return { path: pathOf(root), pin, [Symbol.asyncDispose]: () => Promise.resolve(both.dispose()) };
}

/** Mounts `overlay` where nobody else sees it. */
export function mountHidden(home: LayerHome, overlay: OverlayMount): Promise<Fd> {
  return mountAside(home.asideDir, (target) => home.mounter.mount(overlay, target));
}

const WORK = ".lamina-applying-work";
const WORK_MODE = 0o700;

/** The kernel finds out which changes it takes to make the tree that the archive wants. */
async function stageTree(home: LayerHome, id: string): Promise<StagedTree> {
  const { layout } = home;
  const upperDir = layout.applyingDir(id);
  const workDir = `${layout.dir(id)}/${WORK}`;
  await using undo = new AsyncDisposableStack();
  undo.use(await beginLayerApply(home, id));
  const isGiven = { up: true };
  undo.defer(async () => {
    if (isGiven.up) await giveUpApply(home, id);
  });
  removeWork(layout.dir(id));
  tryMkdirat(AT_FDCWD, workDir, WORK_MODE);
  undo.defer(() => removeWork(layout.dir(id)));
  const lowerDirs = layout.mountLowers(id);
  if (lowerDirs.length === 0) lowerDirs.push(home.emptyDir);
  const overlay = { lowerDirs, upper: { upperDir, workDir }, options: home.prepare().mountOptions };
  const root = undo.use(await mountHidden(home, overlay));
  const all = undo.move();
  return {
    path: pathOf(root),
    contentDir: upperDir,
    async commit(manifest): Promise<void> {
      root[Symbol.dispose]();
      using written = manifest && await stageManifest(home, id, upperDir, manifest);
      await finishApply(home, id, written);
      isGiven.up = false;
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function removeWork(layerDir: string): void {
  using directory = new Fd(openat(AT_FDCWD, layerDir, O_RDONLY | O_DIRECTORY));
  removeTree(directory.fd, WORK);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Layers of `overlay2` as whole trees: how one is mounted, and how it is seen, or filled, through a mount that nobody
 * else knows of.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat, tryMkdirat } from "../../ffi/file.ts";
import { mount, MS_BIND } from "../../ffi/mount.ts";
import { mountAside, pathOf } from "../mount/mount_aside.ts";
import { overlayXattrs } from "../mount/overlay_features.ts";
import type { OverlayMount } from "../mount/overlay_mount.ts";
import { removeTree } from "../util/remove_tree.ts";
import { beginApply, finishApply, giveUpApply } from "./_overlay2_apply.ts";
import type { Overlay2Home } from "./_overlay2_home.ts";
import type { GetOptions } from "./driver.ts";
import type { NaiveDiffHost, SeenTree, StagedTree } from "./naive_diff.ts";

/** A committed layer is a lower layer of others: it is shown on top of its own lowers, and nothing can be written. */
export function overlayOf(home: Overlay2Home, id: string, options: GetOptions): OverlayMount {
  const { layout } = home;
  const all = [...home.prepare().mountOptions, ...mountOptions(options)];
  const lowerDirs = layout.lowers(id).map((lower) => `${layout.home}/${lower}`);
  const upperDir = layout.diffDir(id);
  const { idMaps } = options;
  if (options.readOnly !== true && !layout.isCommitted(id)) {
    return { lowerDirs, upper: { upperDir, workDir: layout.workDir(id) }, options: all, idMaps };
  }
  // Without an upper directory the kernel wants two others.
  if (lowerDirs.length === 0) lowerDirs.push(home.emptyDir);
  return { lowerDirs: [upperDir, ...lowerDirs], upper: undefined, options: all, idMaps };
}

function mountOptions({ mountOptions = [], mountLabel = "" }: GetOptions): string[] {
  return mountLabel === "" ? [...mountOptions] : [...mountOptions, `context=${mountLabel}`];
}

/** What the naive diff needs of a home. */
export function naiveDiffHost(home: Overlay2Home): NaiveDiffHost {
  return {
    see: (id) => seeTree(home, id),
    stage: (id) => stageTree(home, id),
    runner: home.runner,
    get workers() {
      return home.workers;
    },
    idMaps: home.idMaps,
    overlayXattrs: overlayXattrs(home.features),
    logger: home.logger,
  };
}

async function seeTree(home: Overlay2Home, id: string): Promise<SeenTree> {
  const { layout } = home;
  home.requireLayer(id);
  using _lock = await home.lock(id);
  home.requireWhole(id);
  const merged = layout.mergedDir(id);
  const root = await mountAside(home.asideDir, async (target) => {
    // Bound without what is mounted in it: a container's own mounts are not the layer's.
    if (home.mounter.state(merged) === "mounted") mount(merged, target, null, MS_BIND, null);
    else await home.mounter.mount(overlayOf(home, id, { readOnly: true }), target);
  });
  return {
    path: pathOf(root),
    [Symbol.asyncDispose](): Promise<void> {
      root[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}

const WORK = ".lamina-applying-work";
const WORK_MODE = 0o700;

/** The kernel finds out which changes it takes to make the tree that the archive wants. */
async function stageTree(home: Overlay2Home, id: string): Promise<StagedTree> {
  const { layout } = home;
  const upperDir = layout.applyingDir(id);
  const workDir = `${layout.dir(id)}/${WORK}`;
  await using undo = new AsyncDisposableStack();
  undo.use(await beginApply(home, id));
  const isGiven = { up: true };
  undo.defer(async () => {
    if (isGiven.up) await giveUpApply(home, id);
  });
  removeWork(layout.dir(id));
  tryMkdirat(AT_FDCWD, workDir, WORK_MODE);
  undo.defer(() => removeWork(layout.dir(id)));
  const lowerDirs = layout.lowers(id).map((lower) => `${layout.home}/${lower}`);
  if (lowerDirs.length === 0) lowerDirs.push(home.emptyDir);
  const overlay = { lowerDirs, upper: { upperDir, workDir }, options: home.prepare().mountOptions };
  const root = undo.use(await mountAside(home.asideDir, (target) => home.mounter.mount(overlay, target)));
  const all = undo.move();
  return {
    path: pathOf(root),
    contentDir: upperDir,
    async commit(): Promise<void> {
      root[Symbol.dispose]();
      await finishApply(home, id);
      isGiven.up = false;
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function removeWork(layerDir: string): void {
  using directory = new Fd(openat(AT_FDCWD, layerDir, O_RDONLY | O_DIRECTORY));
  removeTree(directory.fd, WORK);
}

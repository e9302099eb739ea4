// SPDX-License-Identifier: Apache-2.0

/**
 * Making and removing layers that have short names. _layer_aside.ts sees to it that they come and go as a whole.
 *
 * @module
 */

import { AT_FDCWD, tryUnlinkat } from "../../ffi/file.ts";
import { lutimesat } from "../../ffi/owner.ts";
import { S_IFDIR } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import { contentRootAt, makeContentRoot } from "./_content_root.ts";
import { buildLayer, removeLayer as removeWhole } from "./_layer_aside.ts";
import type { LayerHome } from "./_layer_home.ts";
import { LayerPin } from "./_layer_pin.ts";
import { LINK_DIR } from "./_layer_layout.ts";
import type { RemoveOptions } from "./driver.ts";

const LINK_MODE = 0o644;
const LOWER_MODE = 0o644;

/**
 * Makes the layer `id` on `parent`; with a limit on its size unless `sizeBytes` is 0. It is empty, or has the content of the
 * layer `template`.
 */
export async function createLayer(
  home: LayerHome,
  id: string,
  parent: string | undefined,
  idMaps: IdMaps | undefined,
  sizeBytes: number,
  template?: string,
): Promise<void> {
  home.prepare();
  let lowers: readonly string[] = [];
  await buildLayer(home, {
    id,
    parent,
    mode: home.format.layerMode,
    owner: home.outerOwner(idMaps),
    takesLong: sizeBytes > 0 || template !== undefined,
    check(): void {
      if (parent !== undefined) lowers = lowersOn(home, parent);
    },
    async build(staging, undo): Promise<void> {
      if (sizeBytes > 0) undo.use(await home.quotas.limit(staging, sizeBytes));
      const link = home.layout.makeLink(id);
      undo.defer(() => void tryUnlinkat(AT_FDCWD, `${home.layout.home}/${LINK_DIR}/${link}`));
      fill(home, staging, link, lowers, parent, idMaps);
      if (template !== undefined) await copyContent(home, template, `${staging}/diff`);
    },
  });
}

async function copyContent(home: LayerHome, template: string, target: string): Promise<void> {
  home.requireWhole(template);
  using pin = new LayerPin(home.layout, template);
  const source = home.layout.diffDir(template);
  await pin.whole(home.runner.run("copy", { source, target, mode: "copy" }));
}

function lowersOn(home: LayerHome, parent: string): string[] {
  const lowers = home.layout.lowersForChildOf(parent);
  if (lowers.length <= home.format.maxDepth) return lowers;
  throw new StorageError(
    "max_depth_exceeded",
    `Cannot make a layer on "${parent}": it would lie on ${lowers.length} layers, and the limit is ${home.format.maxDepth}`,
    home.format.deeperHint === undefined ? {} : { hint: home.format.deeperHint },
  );
}

function fill(
  home: LayerHome,
  staging: string,
  link: string,
  lowers: readonly string[],
  parent: string | undefined,
  idMaps: IdMaps | undefined,
): void {
  const owner = home.owner(idMaps);
  const { rules } = home;
  if (parent === undefined) {
    makeContentRoot(`${staging}/diff`, { mode: S_IFDIR | home.format.baseDiffMode, ...owner }, owner, rules);
  } else {
    // A mount shows the root as its upper directory has it: a parent's own mode, owner and time must not get lost.
    const root = contentRootAt(home.layout.diffDir(parent), rules);
    const { uid, gid } = idMaps === home.idMaps ? root : owner;
    makeContentRoot(`${staging}/diff`, { mode: root.mode, uid, gid }, owner, rules);
    lutimesat(AT_FDCWD, `${staging}/diff`, root.mtimeSeconds, root.mtimeNanoseconds);
  }
  home.format.makeDirectories(staging, parent === undefined, owner);
  home.sync.writeFile(`${staging}/link`, link, LINK_MODE);
  if (parent !== undefined) home.sync.writeFile(`${staging}/lower`, lowers.join(":"), LOWER_MODE);
}

/** Removes the layer `id`, if there is one. */
export async function removeLayer(home: LayerHome, id: string, options: RemoveOptions): Promise<void> {
  const { layout } = home;
  let link: string | undefined;
  await removeWhole(home, id, options, {
    findChild: () => home.findChildOf(id, link = layout.shortName(id)),
    async release(fd): Promise<() => void> {
      await home.quotas.release(layout.dir(id), fd);
      return (): void => {
        if (link !== undefined) tryUnlinkat(AT_FDCWD, `${layout.home}/${link}`);
        else home.logger.warn(`layer "${id}" had no valid link file: its name in ${layout.home}/${LINK_DIR} stays`);
      };
    },
  });
}

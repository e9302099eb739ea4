// SPDX-License-Identifier: Apache-2.0

/**
 * Making and removing layers of Docker's legacy `overlay`. _layer_aside.ts sees to it that they come and go as a whole.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD } from "../../ffi/file.ts";
import { lutimesat } from "../../ffi/owner.ts";
import { statat } from "../../ffi/stat.ts";
import type { IdMaps } from "../id_map.ts";
import { buildLayer, removeLayer as removeWhole } from "./_layer_aside.ts";
import { LayerPin } from "./_layer_pin.ts";
import type { LegacyHome } from "./_legacy_home.ts";
import { makeOwnedDirectory, type Owner } from "./_owner.ts";
import type { RemoveOptions } from "./driver.ts";

const LAYER_MODE = 0o700;
const ROOT_MODE = 0o755;
const WORK_MODE = 0o700;
const MERGED_MODE = 0o700;
const LOWER_ID_MODE = 0o644;
const OUR_FILE_MODE = 0o600;

/** Makes the layer `id`, empty, on `parent`. */
export async function createLayer(
  home: LegacyHome,
  id: string,
  parent: string | undefined,
  idMaps: IdMaps | undefined,
): Promise<void> {
  if (parent === undefined) {
    const fill = (staging: string, owner: Owner): void => makeOwnedDirectory(`${staging}/root`, ROOT_MODE, owner);
    return await build(home, id, undefined, idMaps, false, fill);
  }
  // Whether it is an image can change until it is locked.
  await build(home, id, parent, idMaps, true, async (staging, owner) => {
    if (!home.layout.isImage(parent)) return await copyMounted(home, staging, parent, parent, owner);
    makeUpper(home, staging, parent, owner, idMaps);
    makeRest(home, staging, parent, owner);
  });
}

/** Makes the layer `id` with the content and the parent of `template`. */
export async function copyLayer(
  home: LegacyHome,
  id: string,
  template: string,
  idMaps: IdMaps | undefined,
): Promise<void> {
  const { layout } = home;
  home.requireLayer(template);
  home.requireWhole(template);
  using pin = new LayerPin(layout, template);
  const parent = layout.parentOf(template);
  const copy = async (staging: string, owner: Owner): Promise<void> => {
    if (!layout.isImage(template)) {
      return await copyMounted(home, staging, template, layout.recordedParent(template), owner);
    }
    makeOwnedDirectory(`${staging}/root`, ROOT_MODE, owner);
    // A base layer is shown as it lies, and what is written there must not change the template.
    const mode = parent === undefined ? "copy" : "link";
    await home.runner.run("copy", { source: layout.rootDir(template), target: `${staging}/root`, mode });
    if (parent !== undefined) home.sync.writeFile(`${staging}/.lamina-parent`, parent, OUR_FILE_MODE);
  };
  await build(home, id, parent, idMaps, true, (staging, owner) => pin.whole(copy(staging, owner)));
}

async function build(
  home: LegacyHome,
  id: string,
  parent: string | undefined,
  idMaps: IdMaps | undefined,
  takesLong: boolean,
  fill: (staging: string, owner: Owner) => void | Promise<void>,
): Promise<void> {
  home.prepare();
  const owner = home.owner(idMaps);
  await buildLayer(home, { id, parent, mode: LAYER_MODE, owner, takesLong, build: (staging) => fill(staging, owner) });
}

/** A mount shows the root as its upper directory has it: a parent's own mode, owner and time must not get lost. */
function makeUpper(
  home: LegacyHome,
  staging: string,
  parent: string,
  owner: Owner,
  idMaps: IdMaps | undefined,
): void {
  const root = statat(AT_FDCWD, home.layout.rootDir(parent));
  const inherited = idMaps === undefined ? { uid: root.uid, gid: root.gid } : owner;
  makeOwnedDirectory(`${staging}/upper`, root.mode & 0o7777, inherited);
  lutimesat(AT_FDCWD, `${staging}/upper`, root.mtimeSeconds, root.mtimeNanoseconds);
}

/** Makes what a layer has that lies over an image, but for its content. */
function makeRest(home: LegacyHome, staging: string, lowerId: string, owner: Owner): void {
  makeOwnedDirectory(`${staging}/work`, WORK_MODE, owner);
  makeOwnedDirectory(`${staging}/merged`, MERGED_MODE, owner);
  home.sync.writeFile(`${staging}/lower-id`, lowerId, LOWER_ID_MODE);
}

/** Copies a layer that lies over an image. `lower-id` tells the parent only where that is the image itself. */
async function copyMounted(
  home: LegacyHome,
  staging: string,
  from: string,
  recordedParent: string | undefined,
  owner: Owner,
): Promise<void> {
  makeOwnedDirectory(`${staging}/upper`, ROOT_MODE, owner);
  await home.runner.run("copy", { source: home.layout.upperDir(from), target: `${staging}/upper`, mode: "copy" });
  makeRest(home, staging, home.layout.lowerId(from), owner);
  if (recordedParent !== undefined) {
    home.sync.writeFile(`${staging}/.lamina-parent`, recordedParent, OUR_FILE_MODE);
  }
}

/** Makes the mount point again that unmounting took away: Docker before 1.13 mounts only where there is one. */
export function restoreMountPoint(home: LegacyHome, id: string): void {
  if (home.layout.isImage(id)) return;
  try {
    makeOwnedDirectory(home.layout.mergedDir(id), MERGED_MODE, home.owner());
  } catch (error) {
    if (!isErrno(error, "EEXIST", "EROFS")) throw error;
  }
}

/** Removes the layer `id`, if there is one. */
export async function removeLayer(home: LegacyHome, id: string, options: RemoveOptions): Promise<void> {
  await removeWhole(home, id, options, {
    findChild: () => home.findChildOf(id),
    release: () => Promise.resolve(() => {}),
  });
}

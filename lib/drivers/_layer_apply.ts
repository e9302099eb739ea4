// SPDX-License-Identifier: Apache-2.0

/**
 * How a diff gets into a layer: its content is made in a directory beside the layer's own, which takes that
 * one's place when it is whole.
 *
 * @module
 */

import { AT_FDCWD, renameat2 } from "../../ffi/file.ts";
import type { StagedFile } from "../util/atomic_write.ts";
import { contentRootAt, makeContentRoot } from "./_content_root.ts";
import { beginApply, requireEmpty, requireUnmounted } from "./_layer_aside.ts";
import type { LayerHome } from "./_layer_home.ts";

const APPLYING = ".lamina-applying";

/** Makes the directory that is filled, and returns its lock. */
export function beginLayerApply(home: LayerHome, id: string): Promise<Disposable> {
  const { layout } = home;
  return beginApply(home, id, {
    requireFillable: () => requireFillable(home, id),
    clear: () => giveUpApply(home, id),
    make: (applying) =>
      makeContentRoot(applying, contentRootAt(layout.diffDir(id), home.rules), home.owner(), home.rules),
  });
}

/** Puts the whole content in place, and its manifest if it has one: what can fail of that has been done before. */
export async function finishApply(home: LayerHome, id: string, manifest: StagedFile | undefined): Promise<void> {
  await home.sync.content(home.layout.applyingDir(id));
  using _lock = await home.lock(id);
  requireFillable(home, id);
  home.quotas.requireWithin(home.layout.dir(id));
  // rename(2) replaces an empty directory in one step, and no other.
  renameat2(AT_FDCWD, home.layout.applyingDir(id), AT_FDCWD, home.layout.diffDir(id));
  manifest?.putInPlace();
  await home.sync.names(home.layout.dir(id));
}

function requireFillable(home: LayerHome, id: string): void {
  requireUnmounted(home, id);
  requireEmpty(id, home.layout.diffDir(id));
}

/** Clears away what is not whole. What made it fail is the error to tell, so that this throws none. */
export async function giveUpApply(home: LayerHome, id: string): Promise<void> {
  const { layout } = home;
  await home.runner.run("remove", { directory: layout.dir(id), name: APPLYING }).catch((failure) =>
    home.logger.warn(`cannot clear ${layout.applyingDir(id)} away: ${failure.message}`)
  );
}

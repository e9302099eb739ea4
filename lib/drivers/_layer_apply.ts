// SPDX-License-Identifier: Apache-2.0

/**
 * How a diff gets into a layer: its content is made in a directory beside the layer's own, which takes that
 * one's place when it is whole.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat, renameat2 } from "../../ffi/file.ts";
import { readDirectory } from "../../ffi/directory.ts";
import { StorageError } from "../errors.ts";
import { tryLockDirectory } from "../util/directory_lock.ts";
import { contentRootAt, makeContentRoot } from "./_content_rules.ts";
import type { LayerHome } from "./_layer_home.ts";

const APPLYING = ".lamina-applying";

/**
 * Makes the directory that is filled, and returns its lock. The layer's own lock is held only meanwhile: an archive may
 * come slowly, and nobody should have to wait for it.
 */
export async function beginApply(home: LayerHome, id: string): Promise<Disposable> {
  const { layout } = home;
  const path = layout.applyingDir(id);
  using _lock = await home.lock(id);
  requireEmpty(home, id);
  const left = tryLockDirectory(path, "exclusive");
  if (left === "busy") {
    throw new StorageError("layer_in_use", `Cannot apply a diff to layer "${id}": another one is being applied`);
  }
  if (left !== undefined) {
    left[Symbol.dispose]();
    home.logger.info(`clearing away an apply to layer "${id}" that was interrupted`);
    await home.runner.run("remove", { directory: layout.dir(id), name: APPLYING });
  }
  makeContentRoot(path, contentRootAt(layout.diffDir(id), home.rules), home.owner(), home.rules);
  const lock = tryLockDirectory(path, "exclusive");
  if (lock === undefined || lock === "busy") {
    throw new StorageError("layer_in_use", `Cannot apply a diff to layer "${id}": ${path} is locked by somebody else`);
  }
  return lock;
}

/** Puts the whole content in place. */
export async function finishApply(home: LayerHome, id: string): Promise<void> {
  using _lock = await home.lock(id);
  requireEmpty(home, id);
  home.quotas.requireWithin(home.layout.dir(id));
  // rename(2) replaces an empty directory in one step, and no other.
  renameat2(AT_FDCWD, home.layout.applyingDir(id), AT_FDCWD, home.layout.diffDir(id));
}

function requireEmpty(home: LayerHome, id: string): void {
  home.views.requireNone(id, `apply a diff to layer "${id}"`);
  if (home.mountState(id) === "mounted") {
    throw new StorageError("layer_in_use", `Cannot apply a diff to layer "${id}": it is mounted`);
  }
  using directory = new Fd(openat(AT_FDCWD, home.layout.diffDir(id), O_RDONLY | O_DIRECTORY));
  let isEmpty = true;
  readDirectory(directory.fd, () => isEmpty = false);
  if (isEmpty) return;
  throw new StorageError("layer_not_empty", `Cannot apply a diff to layer "${id}": it has content already`, {
    hint: "make a new layer for it",
  });
}

/** Clears away what is not whole. What made it fail is the error to tell, so that this throws none. */
export async function giveUpApply(home: LayerHome, id: string): Promise<void> {
  const { layout } = home;
  await home.runner.run("remove", { directory: layout.dir(id), name: APPLYING }).catch((failure) =>
    home.logger.warn(`cannot clear ${layout.applyingDir(id)} away: ${failure.message}`)
  );
}

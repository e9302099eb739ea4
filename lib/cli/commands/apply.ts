// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina apply`: fills a layer from an archive.
 *
 * @module
 */

import type { GraphDriver } from "../../drivers/driver.ts";
import { isStorageError, StorageError } from "../../errors.ts";
import { readArchive, tellFilled } from "../archive_input.ts";
import type { CommandOf } from "../command.ts";
import { type Context, findLayer } from "../context.ts";
import type { Output } from "../output.ts";
import { withProgress } from "../progress.ts";

/** Applies an archive to a layer, which is made if it is not there. */
export async function apply(command: CommandOf<"apply">, context: Context): Promise<void> {
  const { kind, id, file } = command;
  await readArchive(file, [kind, id], (fd) => applyFrom(fd, command, context));
}

async function applyFrom(fd: number, command: CommandOf<"apply">, { output, openDriver }: Context): Promise<void> {
  const { id, allowMissingEnd, digest, manifest, xattrs, limits } = command;
  const driver = await openDriver();
  const isNew = await makeLayer(driver, command);
  try {
    const options = { allowMissingEnd, digest, manifest, xattrs, limits };
    const result = await withProgress(output, (work) => driver.applyDiff(id, { fd }, { ...options, ...work }));
    tellFilled("applied", id, result, output);
  } catch (error) {
    if (isNew) await removeAgain(driver, id, output);
    throw error;
  }
}

/** Whether the layer had to be made. One that is there already must have the parent that was asked for, if one was. */
async function makeLayer(driver: GraphDriver, { id, parent }: CommandOf<"apply">): Promise<boolean> {
  try {
    await driver.create(id, parent === undefined ? {} : { parent });
    return true;
  } catch (error) {
    if (!isStorageError(error, "layer_exists")) throw error;
  }
  if (parent === undefined) return false;
  const existing = await findLayer(driver, id);
  if (existing === undefined || existing.parent === parent) return false;
  const actual = existing.parent === undefined
    ? "it has no parent"
    : `its parent is ${JSON.stringify(existing.parent)}`;
  throw new StorageError("layer_exists", `Cannot apply to layer "${id}" with parent "${parent}": ${actual}`);
}

async function removeAgain(driver: GraphDriver, id: string, output: Output): Promise<void> {
  try {
    await driver.remove(id);
  } catch (error) {
    // What made the apply fail is the error to tell.
    output.logger.warn(`layer "${id}" stays, empty: ${error instanceof Error ? error.message : String(error)}`);
  }
}

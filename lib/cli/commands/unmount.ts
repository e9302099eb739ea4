// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina unmount`: takes mounts back.
 *
 * @module
 */

import type { GraphDriver, ViewInfo } from "../../drivers/driver.ts";
import { StorageError } from "../../errors.ts";
import type { CommandOf } from "../command.ts";
import { type Context, findLayer, layerNotFound } from "../context.ts";
import { EXIT, type ExitNumber } from "../exit_code.ts";

/** More users than any layer has; a mount that survives so many is not held by counting. */
const MOST_PUTS = 1000;

/** Takes one mount back, with `force` all of them; or what is shown at a place, which ends with 1 if nothing is. */
export async function unmount(command: CommandOf<"unmount">, { output, openDriver }: Context): Promise<ExitNumber> {
  const driver = await openDriver();
  if ("at" in command) {
    const unmounted = await driver.unmountAt(command.at);
    if (output.json) output.printJson({ at: command.at, unmounted });
    else if (!unmounted) output.note(`nothing is mounted at ${command.at}`);
    return unmounted ? EXIT.ok : EXIT.failed;
  }
  const { id, force } = command;
  if (!await driver.exists(id)) throw layerNotFound("unmount", id);
  const view = await findView(driver, id);
  if (force && view !== undefined) throw shownElsewhere(id, view);
  await driver.put(id);
  let layer = await findLayer(driver, id);
  for (let puts = 1; force && layer?.mounted && puts < MOST_PUTS; puts++) {
    await driver.put(id);
    layer = await findLayer(driver, id);
  }
  if (output.json) output.printJson({ id, mounted: layer?.mounted ?? false });
  else if (layer?.mounted && view !== undefined) output.note(`${id} stays mounted: it is shown at ${view.path}`);
  return EXIT.ok;
}

/** A view that shows the layer's mount, if there is any. */
async function findView(driver: GraphDriver, id: string): Promise<ViewInfo | undefined> {
  return (await driver.views()).find(({ ids }) => ids.length === 1 && ids[0] === id);
}

function shownElsewhere(id: string, { path }: ViewInfo): StorageError {
  return new StorageError("layer_in_use", `Cannot unmount layer ${JSON.stringify(id)}: it is shown at ${path}`, {
    hint: `take that down first: lamina unmount --at ${path}`,
  });
}

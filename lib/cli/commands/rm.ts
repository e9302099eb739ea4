// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina rm`: removes layers.
 *
 * @module
 */

import type { GraphDriver } from "../../drivers/driver.ts";
import type { CommandOf } from "../command.ts";
import { type Context, listLayers } from "../context.ts";
import { EXIT, type ExitNumber, exitNumberOf } from "../exit_code.ts";
import { requireWholeId } from "../layer_ids.ts";

/** Removes each layer that can be removed; ends with the number of the first failure. */
export async function rm({ ids, force }: CommandOf<"rm">, { output, openDriver }: Context): Promise<ExitNumber> {
  const driver = await openDriver();
  const removed: string[] = [];
  let firstFailure: ExitNumber = EXIT.ok;
  for (const id of await childrenFirst(driver, ids)) {
    try {
      if (!force) await requireWholeId("remove", id, driver);
      await driver.remove(id, { force });
      removed.push(id);
    } catch (error) {
      output.error(error);
      if (firstFailure === EXIT.ok) firstFailure = exitNumberOf(error);
    }
  }
  if (output.json) output.printJson({ removed });
  return firstFailure;
}

/** A parent cannot go before its children, in whatever order they were named. */
async function childrenFirst(driver: GraphDriver, ids: readonly string[]): Promise<string[]> {
  const unique = [...new Set(ids)];
  if (unique.length === 1) return unique;
  const depths = new Map((await listLayers(driver)).map(({ id, depth }) => [id, depth]));
  return unique.sort((a, b) => (depths.get(b) ?? 0) - (depths.get(a) ?? 0));
}

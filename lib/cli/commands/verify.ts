// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina verify`: whether layers are still what their manifests say.
 *
 * @module
 */

import type { GraphDriver, ManifestDifference } from "../../drivers/driver.ts";
import { StorageError } from "../../errors.ts";
import type { CommandOf } from "../command.ts";
import { type Context, listLayers } from "../context.ts";
import { EXIT, type ExitNumber } from "../exit_code.ts";
import { withProgress } from "../progress.ts";

/** A layer and what is not as it was. */
interface Verified {
  id: string;
  differences: ManifestDifference[];
}

/** Compares the layers `ids`, or all that have a manifest; with `record` it makes manifests instead. */
export async function verify(command: CommandOf<"verify">, { output, openDriver }: Context): Promise<ExitNumber> {
  const driver = await openDriver();
  const ids = command.ids.length > 0 ? command.ids : (await listLayers(driver)).map(({ id }) => id);
  if (command.record) {
    for (const id of ids) await withProgress(output, (work) => driver.recordManifest(id, work));
    if (output.json) output.printJson({ recorded: ids });
    output.note(`recorded ${ids.length} layer${ids.length === 1 ? "" : "s"}`);
    return EXIT.ok;
  }
  const verified: Verified[] = [];
  for (const id of ids) {
    const differences = await withProgress(output, (work) => verifyOne(driver, id, command.ids.length > 0, work));
    if (differences === undefined) continue;
    verified.push({ id, differences });
    if (!output.json) output.printLines(differences.map(({ path, change }) => `${id}: ${change} ${path}`));
  }
  if (output.json) output.printJson(verified);
  const wrong = verified.filter(({ differences }) => differences.length > 0).length;
  output.note(`${verified.length} verified, ${wrong} differ, ${ids.length - verified.length} without a manifest`);
  return wrong > 0 ? EXIT.damaged : EXIT.ok;
}

async function verifyOne(
  driver: GraphDriver,
  id: string,
  isWanted: boolean,
  work: Parameters<GraphDriver["verify"]>[1],
): Promise<ManifestDifference[] | undefined> {
  const differences = await driver.verify(id, work);
  if (differences !== undefined || !isWanted) return differences;
  throw new StorageError("invalid_argument", `Cannot verify layer "${id}": it has no manifest`, {
    hint: `lamina verify --record ${id} makes one of what is there now`,
  });
}

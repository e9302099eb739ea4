// SPDX-License-Identifier: Apache-2.0

/**
 * What only a look at all files of a layer can tell: whether it is what its manifest says, and whether there are deletions
 * where nothing can be deleted.
 *
 * @module
 */

import { isDirectory } from "../../ffi/stat.ts";
import type { FoundWhiteouts } from "../archive/idle_whiteouts.ts";
import { isStorageError } from "../errors.ts";
import type { DriverHome } from "./_driver_home.ts";
import { MANIFEST, verifyLayer } from "./_layer_manifest.ts";
import type { Problem } from "./_problem.ts";
import type { WorkOptions } from "./work_options.ts";

/** Looks into the layer `id`. */
export async function checkContent(home: DriverHome, id: string, work: WorkOptions): Promise<Problem[]> {
  const directory = home.layout.contentDir(id);
  if (!isDirectory(directory)) return [];
  const found = await home.runner.run("findWhiteouts", { directory }, work);
  return [...await checkManifest(home, id, work), ...checkWhiteouts(home, id, found)];
}

async function checkManifest(home: DriverHome, id: string, work: WorkOptions): Promise<Problem[]> {
  const count = await countDifferences(home, id, work);
  if (count === 0) return [];
  return [{
    code: "manifest_differs",
    layer: id,
    path: `${home.layout.dir(id)}/${MANIFEST}`,
    problem: count === undefined
      ? "is not whole"
      : `does not agree with the content in ${count} place${count === 1 ? "" : "s"}`,
    action: count === undefined
      ? `nothing: if the content is right, lamina verify --record ${id}`
      : `nothing: lamina verify ${id} tells where`,
  }];
}

/** Undefined where the manifest, or the layer, cannot be read. */
async function countDifferences(home: DriverHome, id: string, work: WorkOptions): Promise<number | undefined> {
  try {
    return (await verifyLayer(home, id, work))?.length ?? 0;
  } catch (error) {
    if (isStorageError(error, "layer_in_use", "layer_not_found")) return 0;
    if (isStorageError(error, "store_damaged")) return undefined;
    throw error;
  }
}

function checkWhiteouts(home: DriverHome, id: string, { devices, names }: FoundWhiteouts): Problem[] {
  const common = { layer: id, path: home.layout.contentDir(id) };
  const problems: Problem[] = [];
  if (devices.count > 0 && home.coversNothing(id)) {
    const problem =
      `has ${devices.count} of the devices that stand for deleted names, and nothing is below: ${devices.firstPath}`;
    problems.push({ ...common, code: "whiteout_idle", problem, action: "nothing: they do no harm but being seen" });
  }
  if (names.count > 0 && !home.deletesByName) {
    const problem = `has ${names.count} files named as deletions are in archives: ${names.firstPath}`;
    const action = "nothing: if they are deletions, a mount program made them, and is needed to mount the layer";
    problems.push({ ...common, code: "whiteout_name", problem, action });
  }
  return problems;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina du`: what layers occupy on the disk.
 *
 * @module
 */

import type { DiskUsage } from "../../drivers/driver.ts";
import { formatSize } from "../../units.ts";
import { alignColumns } from "../aligned_columns.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { ownersLabel } from "../docker_names.ts";
import { EXIT, type ExitNumber } from "../exit_code.ts";
import { measureLayers } from "../layer_usage.ts";

const COLUMNS = ["exclusiveBytes", "sharedBytes", "apparentBytes", "allocatedBytes"] as const;
const TITLES = ["EXCLUSIVE", "SHARED", "APPARENT", "ALLOCATED"];

/** Lists layers by what would be free without them; ends with 1 where something could not be read, as du(1) does. */
export async function du({ ids }: CommandOf<"du">, { output, openDriver, docker }: Context): Promise<ExitNumber> {
  const driver = await openDriver();
  const { layers, total } = await measureLayers(driver, output, ids.length === 0 ? undefined : ids);
  layers.sort((a, b) => b.exclusiveBytes - a.exclusiveBytes);
  const names = await docker();
  if (output.json) output.printJson({ layers, total });
  else if (layers.length > 0) {
    const labels = layers.map(({ id }) => `${id}${ownersLabel(names?.ownersOf(id))}`);
    const rows = alignColumns([TITLES, ...[...layers, total].map(figuresOf)]);
    output.printLines(["LAYER", ...labels, "(all of them)"].map((label, i) => `${rows[i]}${label}`));
  }
  return layers.some(({ unreadable }) => unreadable.length > 0) ? EXIT.failed : EXIT.ok;
}

function figuresOf(usage: DiskUsage["total"]): string[] {
  return COLUMNS.map((name) => formatSize(usage[name]));
}

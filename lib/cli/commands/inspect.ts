// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina inspect`: all about a layer.
 *
 * @module
 */

import { formatSize } from "../../units.ts";
import type { LayerQuota } from "../../drivers/driver.ts";
import type { CommandOf } from "../command.ts";
import { type Context, findLayer, layerJson, layerNotFound } from "../context.ts";
import { describeOwner } from "../docker_names.ts";

/** Tells what is known of a layer. */
export async function inspect({ id }: CommandOf<"inspect">, { output, openDriver, docker }: Context): Promise<void> {
  const driver = await openDriver();
  const layer = await findLayer(driver, id);
  if (layer === undefined) throw layerNotFound("inspect", id);
  const metadata = await driver.getMetadata(id);
  const names = await docker();
  const sizeBytes = await driver.diffSize(id);
  if (output.json) {
    output.printJson({ ...layerJson(layer, names), driver: driver.name, sizeBytes, ...metadata });
    return;
  }
  const { lowerDirs, quota, ...directories } = metadata;
  const rows: [string, string][] = [
    ["id", layer.id],
    ["parent", layer.parent ?? "none"],
    ["depth", String(layer.depth)],
    ["mounted", layer.mounted ? "yes" : "no"],
    ["driver", driver.name],
    ["size", `${formatSize(sizeBytes)} (${sizeBytes} bytes)`],
    ...(quota === undefined ? [] : quotaRows(quota)),
    ...(names?.ownersOf(id) ?? []).map((owner): [string, string] => ["docker", describeOwner(owner)]),
    ...Object.entries(directories),
    ...lowerDirs.map((directory, i): [string, string] => [i === 0 ? "lowerDirs" : "", directory]),
  ];
  output.printLines(rows.map(([name, value]) => `${name.padEnd(9)}  ${value}`));
}

function quotaRows({ projectId, limitBytes, usedBytes }: LayerQuota): [string, string][] {
  const limit = limitBytes === 0 ? "no limit" : `${formatSize(limitBytes)} (${limitBytes} bytes)`;
  return [["limit", limit], ["used", `${formatSize(usedBytes)} (${usedBytes} bytes)`], ["project", String(projectId)]];
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina tree`: which layer lies on which.
 *
 * @module
 */

import type { DockerMetadata } from "../../drivers/docker_metadata.ts";
import type { DiskUsage, LayerInfo } from "../../drivers/driver.ts";
import { formatSize } from "../../units.ts";
import { formatAge } from "../age.ts";
import { alignColumns } from "../aligned_columns.ts";
import type { CommandOf } from "../command.ts";
import { type Context, layerJson, listLayers } from "../context.ts";
import { ownersLabel } from "../docker_names.ts";
import { type Branch, fitLine, treeLines } from "../draw_tree.ts";
import { measureLayers } from "../layer_usage.ts";

/** What is told beside the layers themselves. */
export interface TreeFacts {
  /** Where they were asked for: bytes that each layer holds. */
  sizes: ReadonlyMap<string, number> | undefined;
  docker: DockerMetadata | undefined;
  now: Date;
}

/** Draws the layers below their parents. */
export async function tree({ sizes }: CommandOf<"tree">, { output, openDriver, docker }: Context): Promise<void> {
  const driver = await openDriver();
  const roots = grow(await listLayers(driver));
  const facts: TreeFacts = {
    sizes: sizes ? sizesOf(await measureLayers(driver, output)) : undefined,
    docker: await docker(),
    now: new Date(),
  };
  if (output.json) output.printJson(roots.map((root) => branchJson(root, facts)));
  else output.printLines(drawTree(roots, facts, output.columns));
}

function sizesOf({ layers }: DiskUsage): ReadonlyMap<string, number> {
  return new Map(layers.map(({ id, apparentBytes }) => [id, apparentBytes]));
}

/** The trees that `layers` make. A layer whose parent is missing from the store is a root, like one without a parent. */
export function grow(layers: readonly LayerInfo[]): Branch<LayerInfo>[] {
  const branches = new Map(layers.map((item): [string, Branch<LayerInfo>] => [item.id, { item, children: [] }]));
  const roots: Branch<LayerInfo>[] = [];
  for (const branch of branches.values()) {
    const { parent } = branch.item;
    (parent === undefined ? roots : branches.get(parent)?.children ?? roots).push(branch);
  }
  return roots;
}

/** The lines of a drawing, `columns` wide at most: figures first, since only they have a width that one can tell. */
export function drawTree(roots: readonly Branch<LayerInfo>[], facts: TreeFacts, columns = Infinity): string[] {
  const lines = treeLines(roots);
  if (lines.length === 0) return [];
  const titles = ["DEPTH", "AGE", "MOUNTED"];
  const figures = lines.map(({ item }) => [
    String(item.depth),
    item.createdAt === undefined ? "-" : formatAge(item.createdAt, facts.now),
    item.mounted ? "yes" : "-",
    ...(facts.sizes === undefined ? [] : [formatSize(facts.sizes.get(item.id) ?? 0)]),
  ]);
  const [head, ...rows] = alignColumns([facts.sizes === undefined ? titles : [...titles, "SIZE"], ...figures]);
  const drawn = lines.map(({ guides, item }, i) => {
    const row = rows[i]!;
    const fitted = fitLine(guides, labelOf(item, guides === "", facts.docker), columns - row.length);
    return `${row}${fitted.guides}${fitted.label}`;
  });
  return [`${head}LAYER`, ...drawn];
}

function labelOf({ id, parent }: LayerInfo, isRoot: boolean, docker: DockerMetadata | undefined): string {
  const orphan = isRoot && parent !== undefined ? ` (its parent ${parent} is missing)` : "";
  return `${id}${ownersLabel(docker?.ownersOf(id))}${orphan}`;
}

function branchJson({ item, children }: Branch<LayerInfo>, facts: TreeFacts): Record<string, unknown> {
  return {
    ...layerJson(item, facts.docker),
    sizeBytes: facts.sizes?.get(item.id) ?? null,
    children: children.map((child) => branchJson(child, facts)),
  };
}

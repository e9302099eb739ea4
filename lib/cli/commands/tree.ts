// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina tree`: which layer lies on which.
 *
 * @module
 */

import type { DockerMetadata } from "../../drivers/docker_metadata.ts";
import type { LayerInfo } from "../../drivers/driver.ts";
import { type Context, layerJson, listLayers } from "../context.ts";
import { ownersLabel } from "../docker_names.ts";

/** A layer and those that lie on it, in the order of their ids. */
interface Node {
  layer: LayerInfo;
  children: Node[];
}

/** Draws the layers below their parents. */
export async function tree({ output, openDriver, docker }: Context): Promise<void> {
  const roots = grow(await listLayers(await openDriver()));
  const names = await docker();
  if (output.json) output.printJson(roots.map((root) => nodeJson(root, names)));
  else output.printLines(drawTree(roots, names));
}

/** The trees that `layers` make. A layer whose parent is missing from the store is a root, like one without a parent. */
export function grow(layers: readonly LayerInfo[]): Node[] {
  const nodes = new Map(layers.map((layer): [string, Node] => [layer.id, { layer, children: [] }]));
  const roots: Node[] = [];
  for (const node of nodes.values()) {
    const parent = node.layer.parent === undefined ? undefined : nodes.get(node.layer.parent);
    (parent?.children ?? roots).push(node);
  }
  return roots;
}

/** The lines of a drawing, with dockerd's names where they are known. */
export function drawTree(roots: readonly Node[], names?: DockerMetadata): string[] {
  return roots.flatMap((root) => [nodeLabel(root, true, names), ...drawChildren(root.children, names)]);
}

function drawChildren(nodes: readonly Node[], names: DockerMetadata | undefined): string[] {
  return nodes.flatMap((node, i) => {
    const isLast = i === nodes.length - 1;
    const below = drawChildren(node.children, names).map((line) => `${isLast ? "    " : "│   "}${line}`);
    return [`${isLast ? "└── " : "├── "}${nodeLabel(node, false, names)}`, ...below];
  });
}

function nodeLabel({ layer }: Node, isRoot: boolean, names: DockerMetadata | undefined): string {
  const orphan = isRoot && layer.parent !== undefined ? ` (its parent ${layer.parent} is missing)` : "";
  return `${layer.id}${ownersLabel(names?.ownersOf(layer.id))}${layer.mounted ? " (mounted)" : ""}${orphan}`;
}

function nodeJson({ layer, children }: Node, names: DockerMetadata | undefined): Record<string, unknown> {
  return { ...layerJson(layer, names), children: children.map((child) => nodeJson(child, names)) };
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina tree`: which layer lies on which.
 *
 * @module
 */

import type { LayerInfo } from "../../drivers/driver.ts";
import { type Context, layerJson, listLayers } from "../context.ts";

/** A layer and those that lie on it, in the order of their ids. */
interface Node {
  layer: LayerInfo;
  children: Node[];
}

/** Draws the layers below their parents. */
export async function tree({ output, openDriver }: Context): Promise<void> {
  const roots = grow(await listLayers(await openDriver()));
  if (output.json) output.printJson(roots.map(nodeJson));
  else output.printLines(drawTree(roots));
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

/** The lines of a drawing. */
export function drawTree(roots: readonly Node[]): string[] {
  return roots.flatMap((root) => [nodeLabel(root, true), ...drawChildren(root.children)]);
}

function drawChildren(nodes: readonly Node[]): string[] {
  return nodes.flatMap((node, i) => {
    const isLast = i === nodes.length - 1;
    const below = drawChildren(node.children).map((line) => `${isLast ? "    " : "│   "}${line}`);
    return [`${isLast ? "└── " : "├── "}${nodeLabel(node, false)}`, ...below];
  });
}

function nodeLabel({ layer }: Node, isRoot: boolean): string {
  const orphan = isRoot && layer.parent !== undefined ? ` (its parent ${layer.parent} is missing)` : "";
  return `${layer.id}${layer.mounted ? " (mounted)" : ""}${orphan}`;
}

function nodeJson({ layer, children }: Node): Record<string, unknown> {
  return { ...layerJson(layer), children: children.map(nodeJson) };
}

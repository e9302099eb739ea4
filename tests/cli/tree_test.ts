// SPDX-License-Identifier: Apache-2.0

import { assertEquals } from "@std/assert";
import { drawTree, grow } from "../../lib/cli/commands/tree.ts";
import type { LayerInfo } from "../../lib/drivers/driver.ts";

function layer(id: string, parent?: string, mounted = false): LayerInfo {
  return { id, parent, depth: 0, mounted };
}

Deno.test("drawTree() puts children below their parents, in the order of their ids", () => {
  const layers = [
    layer("a"),
    layer("b", "a"),
    layer("c", "b", true),
    layer("d", "a"),
    layer("e", "d"),
    layer("f"),
  ];
  assertEquals(drawTree(grow(layers)), ["a", "├── b", "│   └── c (mounted)", "└── d", "    └── e", "f"]);
});

Deno.test("drawTree() shows a layer whose parent is missing", () => {
  assertEquals(drawTree(grow([layer("x", "gone")])), ["x (its parent gone is missing)"]);
});

Deno.test("drawTree() of no layers is nothing", () => {
  assertEquals(drawTree(grow([])), []);
});

// SPDX-License-Identifier: Apache-2.0

import { assertEquals } from "@std/assert";
import { formatAge } from "../../lib/cli/age.ts";
import { drawTree, grow, type TreeFacts } from "../../lib/cli/commands/tree.ts";
import { fitLine } from "../../lib/cli/draw_tree.ts";
import type { LayerInfo } from "../../lib/drivers/driver.ts";

const NOW = new Date("2026-11-21T12:00:00Z");
const FACTS: TreeFacts = { sizes: undefined, docker: undefined, now: NOW };

function layer(id: string, parent?: string, rest: Partial<LayerInfo> = {}): LayerInfo {
  return { id, parent, depth: 0, mounted: false, createdAt: undefined, ...rest };
}

/** What is drawn, without the figures before it. */
function drawn(layers: readonly LayerInfo[], columns?: number): string[] {
  return drawTree(grow(layers), FACTS, columns).slice(1).map((line) => line.slice("DEPTH  AGE  MOUNTED  ".length));
}

Deno.test("drawTree() puts children below their parents, in the order of their ids", () => {
  const layers = [layer("a"), layer("b", "a"), layer("c", "b"), layer("d", "a"), layer("e", "d"), layer("f")];
  assertEquals(drawn(layers), ["a", "├── b", "│   └── c", "└── d", "    └── e", "f"]);
});

Deno.test("drawTree() shows a layer whose parent is missing", () => {
  assertEquals(drawn([layer("x", "gone")]), ["x (its parent gone is missing)"]);
});

Deno.test("drawTree() of no layers is nothing", () => {
  assertEquals(drawTree([], FACTS), []);
});

Deno.test("drawTree() has depth, age, mounts and sizes below each other", () => {
  const layers = [
    layer("base", undefined, { createdAt: new Date("2026-11-18T12:00:00Z") }),
    layer("job", "base", { depth: 10, mounted: true, createdAt: new Date("2026-11-21T11:59:18Z") }),
  ];
  const sizes = new Map([["base", 7_050_000], ["job", 5]]);
  assertEquals(drawTree(grow(layers), { ...FACTS, sizes }), [
    "DEPTH  AGE  MOUNTED     SIZE  LAYER",
    "    0   3d        -  7.05 MB  base",
    "   10  42s      yes      5 B  └── job",
  ]);
});

Deno.test("drawTree() fits the terminal: guides give way before ids do", () => {
  const ids = Array.from({ length: 30 }, (_, i) => `${String(i).padStart(2, "0")}${"f".repeat(62)}`);
  const lines = drawTree(grow(ids.map((id, i) => layer(id, ids[i - 1]))), FACTS, 60);
  for (const [i, line] of lines.slice(1).entries()) {
    assertEquals([line.length, line.includes(ids[i]!.slice(0, 15))], [60, true], line);
  }
});

Deno.test("fitLine() cuts nothing that fits", () => {
  assertEquals(fitLine("└── ", "abc", 7), { guides: "└── ", label: "abc" });
  assertEquals(fitLine("│   └── ", "abc", 9), { guides: "… └── ", label: "abc" });
  assertEquals(fitLine("└── ", "x".repeat(30), 20), { guides: "└── ", label: `${"x".repeat(15)}…` });
});

Deno.test("fitLine() leaves a mark where there is no room at all", () => {
  for (const width of [-5, 0, 1]) assertEquals(fitLine("└── ", "abc", width), { guides: "", label: "…" });
});

Deno.test("formatAge() counts in the largest unit of which there is one", () => {
  const ages = [0, 59, 60, 3599, 3600, 86399, 86400, 364 * 86400, 365 * 86400, 800 * 86400];
  const shown = ages.map((seconds) => formatAge(new Date(NOW.getTime() - seconds * 1000), NOW));
  assertEquals(shown, ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "364d", "1y", "2y"]);
  assertEquals(formatAge(new Date(NOW.getTime() + 5000), NOW), "0s");
});

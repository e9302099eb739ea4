// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina changes`: the paths that a layer changes.
 *
 * @module
 */

import { styleText } from "node:util";
import type { Change, ChangeKind } from "../../drivers/driver.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { type Branch, fitLine, treeLines } from "../draw_tree.ts";
import { idMapsOption } from "../id_map_options.ts";
import type { PaintedLine } from "../output.ts";
import { withProgress } from "../progress.ts";

/** The letters of `docker diff`. */
const LETTERS: Readonly<Record<ChangeKind, string>> = { add: "A", modify: "C", delete: "D" };

const COLOURS = { add: "green", modify: "yellow", delete: "red" } as const satisfies Record<ChangeKind, string>;

/** Lists changes, one path a line, or as a tree. */
export async function changes(command: CommandOf<"changes">, context: Context): Promise<void> {
  const { id, tree, comparedWith, compareXattrs, compareContent, idMaps } = command;
  const { output } = context;
  const driver = await context.openDriver();
  const parent = comparedWith === undefined ? {} : { parent: comparedWith };
  const options = { ...parent, compareXattrs, compareContent, ...idMapsOption(idMaps) };
  const list = await withProgress(output, (work) => driver.changes(id, { ...options, ...work }));
  if (output.json) output.printJson(list);
  else if (tree) output.printPainted(drawChanges(list, output.columns));
  else output.printLines(list.map(({ path, kind }) => `${LETTERS[kind]} ${path}`));
}

/** A tree of changes, each below its directory; `list` has every directory before what is in it. */
export function drawChanges(list: readonly Change[], columns = Infinity): PaintedLine[] {
  if (list.length === 0) return [];
  const root: Branch<Change | undefined> = { item: undefined, children: [] };
  const branches = new Map([["", root]]);
  for (const change of list) {
    const branch = { item: change, children: [] };
    branches.set(change.path, branch);
    (branches.get(directoryOf(change.path)) ?? root).children.push(branch);
  }
  return treeLines([root]).map(({ guides, item }) => {
    if (item === undefined) return { guides, text: "/", paint: (text) => text };
    const { path, kind } = item;
    const fitted = fitLine(guides, `${LETTERS[kind]} ${path.slice(directoryOf(path).length + 1)}`, columns);
    const paint = (text: string): string => styleText(COLOURS[kind], text, { validateStream: false });
    return { guides: fitted.guides, text: fitted.label, paint };
  });
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Trees as they are drawn in a terminal.
 *
 * @module
 */

/** Something, and what lies below it. */
export interface Branch<T> {
  item: T;
  children: Branch<T>[];
}

/** One line of a drawing. */
export interface TreeLine<T> {
  /** What leads to it: `│   └── `. */
  guides: string;
  item: T;
}

/** The lines of a drawing; roots have no guides. */
export function treeLines<T>(roots: readonly Branch<T>[]): TreeLine<T>[] {
  return roots.flatMap(({ item, children }) => [{ guides: "", item }, ...linesBelow(children, "")]);
}

function linesBelow<T>(branches: readonly Branch<T>[], prefix: string): TreeLine<T>[] {
  return branches.flatMap(({ item, children }, i) => {
    const isLast = i === branches.length - 1;
    const own = { guides: `${prefix}${isLast ? "└── " : "├── "}`, item };
    return [own, ...linesBelow(children, `${prefix}${isLast ? "    " : "│   "}`)];
  });
}

/** Where ids and names still tell something. */
const LEAST_LABEL = 16;

/**
 * Guides and a label in at most `width` letters: guides lose their left side before the label has less than 16, and the
 * label its right one.
 */
export function fitLine(guides: string, label: string, width: number): { guides: string; label: string } {
  if (guides.length + label.length <= width) return { guides, label };
  const room = Math.max(width - guides.length, Math.min(LEAST_LABEL, label.length, width), 1);
  const guidesRoom = Math.max(width - room, 0);
  return {
    guides: guides.length <= guidesRoom
      ? guides
      : `…${guides.slice(guides.length - guidesRoom + 1)}`.slice(0, guidesRoom),
    label: label.length <= room ? label : `${label.slice(0, room - 1)}…`,
  };
}

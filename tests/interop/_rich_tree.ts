// SPDX-License-Identifier: Apache-2.0

/**
 * The tree that archive programs are tried with: see _rich_tree.py.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { needsProgram } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";

const SCRIPT = fileURLToPath(new URL("_rich_tree.py", import.meta.url));

export const NEEDS_RICH_TREE = ["python3", "setcap", "setfacl", "getfattr"].map(needsProgram);

/** Makes the tree as the directory `path`. */
export async function buildRichTree(path: string): Promise<void> {
  await runOk("python3", [SCRIPT, path]);
}

/** Whether a path lies in one of the directories `names` at the top of the tree. */
export function beginsWithOneOf(names: readonly string[]): (path: string) => boolean {
  return (path) => names.includes(path.split("/", 1)[0]!);
}

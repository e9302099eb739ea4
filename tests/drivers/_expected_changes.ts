// SPDX-License-Identifier: Apache-2.0

/**
 * What changed between two trees, from listings that find(1) and getfattr(1) made: a third opinion beside the two ways in
 * which a driver finds changes. It follows Docker's rules.
 *
 * @module
 */

import type { Change } from "../../lib/drivers/driver.ts";
import { readTree, type TreeEntry } from "../_helpers/tree.ts";

/** The changes from the tree `older` to the tree `newer`, in the order of the paths' bytes. */
export async function expectedChanges(newer: string, older: string): Promise<Change[]> {
  const [after, before] = [await entriesOf(newer), await entriesOf(older)];
  const kinds = new Map<string, Change["kind"]>();
  for (const [path, entry] of after) {
    const old = before.get(path);
    if (old === undefined) kinds.set(path, "add");
    else if (differs(entry, old)) kinds.set(path, "modify");
  }
  for (const path of before.keys()) {
    // What was in a directory that is gone, or is no directory any more, goes without saying.
    const parent = parentOf(path);
    if (!after.has(path) && (parent === "" || after.get(parent)?.type === "d")) kinds.set(path, "delete");
  }
  for (const path of [...kinds.keys()]) {
    for (let parent = parentOf(path); parent !== "" && !kinds.has(parent); parent = parentOf(parent)) {
      kinds.set(parent, "modify");
    }
  }
  const text = (path: string): string => new TextDecoder().decode(Uint8Array.from(path, (c) => c.charCodeAt(0)));
  return [...kinds.keys()].sort().map((path) => ({ path: `/${text(path)}`, kind: kinds.get(path)! }));
}

async function entriesOf(tree: string): Promise<Map<string, TreeEntry>> {
  return new Map((await readTree(tree, { withoutRoot: true })).map((entry) => [entry.path, entry]));
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

function differs(a: TreeEntry, b: TreeEntry): boolean {
  const seen = (entry: TreeEntry): string => {
    const capability = entry.xattrs.filter((xattr) => xattr.startsWith("security.capability="));
    return JSON.stringify([entry.type, entry.mode, entry.uid, entry.gid, entry.device, capability]);
  };
  if (seen(a) !== seen(b)) return true;
  return a.type !== "d" && (a.size !== b.size || !sameTime(a.mtime, b.mtime));
}

function sameTime(a: string, b: string): boolean {
  const [aSeconds, aRest = ""] = a.split(".");
  const [bSeconds, bRest = ""] = b.split(".");
  return aSeconds === bSeconds && (aRest === bRest || /^0*$/.test(aRest) || /^0*$/.test(bRest));
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Archives that are known by a number alone, and what one must see of the layers they are applied to: a store can be
 * compared with them bit for bit by a process that did not make it.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import { Random } from "../fuzz/random.ts";
import type { Layer } from "./layer_model.ts";

/** How many files the directory of an archive holds. */
export const FILES = 30;
const MOST_BYTES = 20_000;
const TIME = 1_700_000_000;

/** Whom a remap gives the files to that belong to root. */
export const REMAPPED = { containerId: 0, hostId: 50_000, size: 10 };

/** What one sees of a layer: a line a path. */
export type Tree = Map<string, string>;

/** The archive of `key`. On top of a layer of the archive `below` it replaces a file of that one and removes another. */
export function archiveOf(key: number, below: number | undefined): Uint8Array<ArrayBuffer> {
  return tarOf([...itemsOf(key), ...below === undefined ? [] : [{ path: `.wh.gone-${below}`, type: "0" }]]);
}

function itemsOf(key: number): TarItem[] {
  const mtime = TIME + key;
  const files = Array.from(
    { length: FILES },
    (_, i) => ({ path: `own-${key}/file-${i}`, data: dataOf(key, i), mtime }),
  );
  return [
    { path: `gone-${key}`, data: `${key}`, mtime },
    { path: "shared", data: `shared by ${key}`, mtime, mode: 0o600 },
    ...files,
    { path: `own-${key}/`, type: "5", mode: 0o755, mtime },
  ];
}

/** Mostly small, as in real layers; a few of them span pages. */
function dataOf(key: number, index: number): string {
  const random = Random.ofCase(key, index);
  const length = random.oneIn(5) ? random.below(MOST_BYTES) : random.below(100);
  return `${key}:${index}:`.repeat(Math.ceil(length / 8)).slice(0, length);
}

/** The archive that a layer on `parent` replaces files of. */
export function keyBelow(layer: Layer): number | undefined {
  for (let below = layer.parent?.layer; below !== undefined; below = below.parent?.layer) {
    if (below.key !== undefined) return below.key;
  }
  return undefined;
}

/** What one must see of `layer`. */
export function treeOf(layer: Layer): Tree {
  const tree = layer.parent === undefined ? new Map([[".", rootLine(0)]]) : treeOf(layer.parent.layer);
  if (layer.key !== undefined) {
    const below = keyBelow(layer);
    if (below !== undefined) tree.delete(`gone-${below}`);
    for (const { path, type, data, mode, mtime } of itemsOf(layer.key)) {
      const isDirectory = type === "5";
      const content = isDirectory ? "-" : md5(new TextEncoder().encode(data));
      tree.set(path.replace(/\/$/, ""), line(isDirectory, mode ?? 0o644, 0, mtime!, content));
    }
  }
  if (layer.remaps % 2 === 0) return tree;
  return new Map([...tree].map(([path, text]) => [path, text.replace(/ uid=0 /, ` uid=${REMAPPED.hostId} `)]));
}

function line(isDirectory: boolean, mode: number, uid: number, mtime: number, content: string): string {
  return `${isDirectory ? "d" : "f"} ${mode.toString(8)} uid=${uid} ${mtime} ${content}`;
}

/** The root's mode and time are those of the process that made the first layer. */
function rootLine(uid: number): string {
  return `root uid=${uid} `;
}

function md5(data: Uint8Array): string {
  return createHash("md5").update(data).digest("hex");
}

/** What one sees at `directory`. */
export function readTree(directory: string): Tree {
  const tree: Tree = new Map([[".", rootLine(Deno.statSync(directory).uid!)]]);
  const visit = (prefix: string): void => {
    for (const { name, isDirectory } of Deno.readDirSync(`${directory}/${prefix}`)) {
      const path = `${prefix}${name}`;
      const stat = Deno.lstatSync(`${directory}/${path}`);
      const content = stat.isFile ? md5(Deno.readFileSync(`${directory}/${path}`)) : "-";
      const mtime = Math.floor(stat.mtime!.getTime() / 1000);
      tree.set(path, line(isDirectory, stat.mode! & 0o7777, stat.uid!, mtime, content));
      if (isDirectory) visit(`${path}/`);
    }
  };
  visit("");
  return tree;
}

/** The first path in which two trees differ, and how; undefined if they are the same. */
export function firstDifference(expected: Tree, found: Tree): string | undefined {
  for (const path of new Set([...expected.keys(), ...found.keys()])) {
    if (expected.get(path) === found.get(path)) continue;
    return `${path}: expected ${expected.get(path) ?? "nothing"}, found ${found.get(path) ?? "nothing"}`;
  }
  return undefined;
}

/** What a tree lacks of the archives that are in it; undefined if they are whole. */
export function brokenArchive(tree: Tree): string | undefined {
  for (const [, key] of [...tree.keys()].map((path) => /^own-(\d+)$/.exec(path) ?? [])) {
    if (key === undefined) continue;
    const own = (paths: Tree): Tree => new Map([...paths].filter(([path]) => `${path}/`.startsWith(`own-${key}/`)));
    const difference = firstDifference(own(treeOf({ key: Number(key), remaps: 0 })), own(tree));
    if (difference !== undefined) return difference;
  }
  return undefined;
}

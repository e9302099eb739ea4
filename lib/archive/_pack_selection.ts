// SPDX-License-Identifier: Apache-2.0

/**
 * Which names of a tree go into an archive: all of them, or those that changed.
 *
 * @module
 */

import { DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { type ByteString, byteString } from "../util/byte_string.ts";
import type { PackedPart } from "./pack_options.ts";
import type { PathChange } from "./path_change.ts";
import { type CompareTreesOptions, TreeComparison } from "./compare.ts";

/** A name, a NUL, and the type that the directory says: as one string, it sorts as the name alone would. */
export type TypedName = string;

function typedName(name: ByteString, type: number): TypedName {
  return `${name}\0${String.fromCharCode(type)}`;
}

/** The name alone. */
export function nameOf(typed: TypedName): ByteString {
  return typed.slice(0, -2);
}

/** A type of `ffi/directory.ts`. */
export function typeOf(typed: TypedName): number {
  return typed.charCodeAt(typed.length - 1);
}

/** Tells the packer what to do. */
export interface PackSelection {
  /** Whether the tree is an overlay's upper directory, in which overlayfs marks what is gone. */
  readonly isUpper: boolean;
  /** Whether there is nothing to say, not even of the root. */
  readonly isEmpty: boolean;
  /** Whether the root has to be told of, also where it is as that of any new layer. */
  readonly needsRoot: boolean;
  /** Whether the root is not told of at all. */
  readonly omitsRoot?: boolean;
  /** What the one name in the root is called in the archive. */
  readonly as?: ByteString;
  /** The names to pack in the open directory `fd`, whose path is `prefix` (`""`, or ending in `/`), in the order of bytes. */
  namesIn(fd: number, prefix: ByteString): readonly TypedName[];
  /** What happened to `path`, whose last part is `name`; undefined where that is not known. */
  kindOf(path: ByteString, name: ByteString): PathChange["kind"] | undefined;
}

/** Everything in a layer's own directory. */
export const WHOLE_TREE: PackSelection = {
  isUpper: true,
  isEmpty: false,
  needsRoot: false,
  namesIn(fd: number): TypedName[] {
    const names: TypedName[] = [];
    readDirectory(fd, (buffer, start, end, type) => names.push(typedName(byteString(buffer, start, end), type)));
    return names.sort();
  },
  kindOf: () => undefined,
};

/** A part of a tree as it is seen, where nothing marks what is gone. */
export function selectPart(part: PackedPart): PackSelection {
  const seen = { ...WHOLE_TREE, isUpper: false, omitsRoot: true };
  if (part === "content") return seen;
  const { name, as } = part;
  const top = [typedName(name, DT_UNKNOWN)];
  return { ...seen, as, namesIn: (fd, prefix) => prefix === "" ? top : WHOLE_TREE.namesIn(fd, prefix) };
}

const NOTHING: readonly TypedName[] = [];

/** What differs between two trees. */
export class ChangedNames implements PackSelection {
  readonly isUpper = false;
  readonly isEmpty: boolean;
  readonly needsRoot: boolean;
  /** By directory. */
  readonly #kinds = new Map<ByteString, Map<ByteString, PathChange["kind"]>>();

  constructor(newerFd: number, olderFd: number | undefined, options: CompareTreesOptions) {
    const comparison = new TreeComparison(
      { ...options, forArchive: true },
      (prefix, name, kind) => this.#add(prefix, name, kind),
    );
    this.isEmpty = !comparison.run(newerFd, olderFd);
    this.needsRoot = olderFd !== undefined;
  }

  namesIn(_fd: number, prefix: ByteString): readonly TypedName[] {
    const kinds = this.#kinds.get(prefix);
    return kinds === undefined ? NOTHING : [...kinds.keys()].sort().map((name) => typedName(name, DT_UNKNOWN));
  }

  kindOf(path: ByteString, name: ByteString): PathChange["kind"] | undefined {
    return this.#kinds.get(path.slice(0, path.length - name.length))?.get(name);
  }

  /** Adds a name, and the directories above it. */
  #add(prefix: ByteString, name: ByteString, kind: PathChange["kind"]): void {
    const kinds = this.#kinds.get(prefix);
    if (kinds !== undefined) {
      kinds.set(name, kind);
      return;
    }
    this.#kinds.set(prefix, new Map([[name, kind]]));
    if (prefix === "") return;
    const slash = prefix.lastIndexOf("/", prefix.length - 2);
    this.#add(prefix.slice(0, slash + 1), prefix.slice(slash + 1, -1), "modify");
  }
}

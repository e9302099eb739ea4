// SPDX-License-Identifier: Apache-2.0

/**
 * The archive programs that lamina has to agree with: one row for each program and format.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { needsProgram, type Requirement } from "../_helpers/requires.ts";
import { run, type RunResult } from "../_helpers/run.ts";
import type { TreeEntry } from "../_helpers/tree.ts";

/** What a program or a format cannot do, by the names at the top of the tree that _rich_tree.py makes. */
interface Limits {
  /** Left out of the archive, since the program refuses it, or writes what nobody can read. */
  refused: readonly string[];
  /** In the archive, but not as it was. */
  lossy: readonly string[];
}

/** A program that writes one format. */
export interface TarFormat extends Limits {
  name: string;
  needs: readonly Requirement[];
  program: TarProgram;
  create(tree: string, archive: string): Promise<RunResult>;
}

/** A program that reads archives. */
export interface TarProgram {
  name: string;
  needs: readonly Requirement[];
  extract(archive: string, directory: string): Promise<RunResult>;
  list(archive: string): Promise<RunResult>;
  /** What is compared of a file that this program extracts. */
  seen(entry: TreeEntry): TreeEntry;
  /** What it does not extract as the archive says, by the names at the top of the tree. */
  lossy: readonly string[];
}

const IDENTITY = (entry: TreeEntry): TreeEntry => entry;
/** bsdtar reads the names of a pax archive as UTF-8, and needs a locale that has it. */
const UTF8 = { env: { LC_ALL: "C.UTF-8" } };
const QUIET_TAR = ["--warning=no-timestamp"];
const PYTHON_TOOL = fileURLToPath(new URL("_tar_tool.py", import.meta.url));
const python = (...args: string[]): Promise<RunResult> => run("python3", [PYTHON_TOOL, ...args]);

export const GNU_TAR: TarProgram = {
  name: "GNU tar",
  needs: [needsProgram("tar")],
  extract: (archive, directory) =>
    run("tar", ["-C", directory, "--numeric-owner", "--xattrs", "--xattrs-include=*", ...QUIET_TAR, "-xpf", archive]),
  list: (archive) => run("tar", [...QUIET_TAR, "-tvf", archive]),
  seen: IDENTITY,
  lossy: [],
};

export const BSDTAR: TarProgram = {
  name: "bsdtar",
  needs: [needsProgram("bsdtar")],
  extract: (archive, directory) =>
    run("bsdtar", ["-C", directory, "--numeric-owner", "--xattrs", "--no-fflags", "-xpf", archive], UTF8),
  list: (archive) => run("bsdtar", ["-tvf", archive], UTF8),
  seen: IDENTITY,
  // It knows ACLs as text only, not as the attributes that hold them.
  // Decomposed letters become composed ones, and a fraction of a second before 1970 is counted from the wrong side.
  lossy: ["acls", "unicode-names", "negative-times"],
};

export const PYTHON: TarProgram = {
  name: "Python's tarfile",
  needs: [needsProgram("python3")],
  extract: (archive, directory) => python("extract", archive, directory),
  list: (archive) => python("list", archive),
  // It counts time in floating point, sets none on symbolic links, and knows no attributes.
  seen: (entry) => ({ ...entry, mtime: entry.type === "l" ? "" : Number(entry.mtime).toFixed(5), xattrs: [] }),
  lossy: ["linked-symlinks"],
};

export const TAR_PROGRAMS: readonly TarProgram[] = [GNU_TAR, BSDTAR, PYTHON];

function gnuTar(format: string, limits: Limits, ...options: string[]): TarFormat {
  return {
    ...limits,
    name: ["GNU tar, format", format, ...options.filter((option) => /^--(xattrs|acls)$/.test(option))].join(" "),
    needs: GNU_TAR.needs,
    program: GNU_TAR,
    create: (tree, archive) =>
      run("tar", [
        ...["-C", tree, `--format=${format}`, ...options],
        ...limits.refused.map((name) => `--exclude=./${name}`),
        ...["-cf", archive, "."],
      ]),
  };
}

function bsdtar(format: string, limits: Limits, ...options: string[]): TarFormat {
  return {
    ...limits,
    name: ["bsdtar, format", format, ...options].join(" "),
    needs: BSDTAR.needs,
    program: BSDTAR,
    create: (tree, archive) =>
      run("bsdtar", [
        ...["-C", tree, `--format=${format}`, ...options, "--no-fflags", "--no-acls"],
        ...limits.refused.map((name) => `--exclude=./${name}`),
        ...["-cf", archive, "."],
      ], UTF8),
  };
}

function pythonTar(format: string, limits: Limits): TarFormat {
  return {
    ...limits,
    name: `Python's tarfile, format ${format}`,
    needs: PYTHON.needs,
    program: PYTHON,
    create: (tree, archive) => python("create", format, archive, tree, ...limits.refused),
  };
}

const ATTRIBUTES = ["xattrs", "capabilities", "acls"];
const WHOLE_SECONDS = ["fractions", "negative-times"];
/** Not what any of the old formats says; and a fifo with two names is to most programs two fifos. */
const OLD = [...ATTRIBUTES, ...WHOLE_SECONDS, "linked-special"];
/** Numbers and names that the fields of a ustar header have no room for. */
const LARGE = ["large-owners", "late-times", "negative-times", "long-names", "long-symlinks"];
const NODES = ["special", "linked-special", "large-devices"];

export const TAR_FORMATS: readonly TarFormat[] = [
  gnuTar("pax", { refused: [], lossy: ["linked-special"] }, "--xattrs", "--xattrs-include=*"),
  gnuTar("pax", { refused: [], lossy: [...ATTRIBUTES, "linked-special"] }),
  gnuTar("gnu", { refused: [], lossy: OLD }),
  gnuTar("oldgnu", { refused: [], lossy: OLD }),
  gnuTar("ustar", { refused: LARGE, lossy: OLD }),
  gnuTar("v7", { refused: [...LARGE, ...NODES], lossy: OLD }),
  bsdtar("pax", { refused: ["byte-names"], lossy: ["negative-times", "acls"] }, "--xattrs"),
  bsdtar("pax", { refused: [], lossy: ["negative-times", "acls"] }, "--xattrs", "--options=hdrcharset=BINARY"),
  bsdtar("gnutar", { refused: ["large-devices"], lossy: [...OLD, "late-times"] }),
  bsdtar("ustar", { refused: [...LARGE, "large-devices"], lossy: OLD }),
  bsdtar("v7", { refused: [...LARGE, ...NODES, "full-symlinks"], lossy: OLD }),
  // A time of less than a millisecond it writes with an exponent, which POSIX does not have.
  pythonTar("pax", { refused: ["negative-times"], lossy: [...ATTRIBUTES, "linked-symlinks", "linked-special"] }),
  pythonTar("gnu", { refused: [], lossy: [...OLD, "linked-symlinks"] }),
  pythonTar("ustar", { refused: LARGE, lossy: [...OLD, "linked-symlinks"] }),
];

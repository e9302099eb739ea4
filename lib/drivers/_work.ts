// SPDX-License-Identifier: Apache-2.0

/**
 * The work of drivers that grows with a layer, as tasks with a name: functions whose arguments and
 * results can be sent to another thread. work_runner.ts decides in which thread they run.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat, syncfs } from "../../ffi/file.ts";
import { changes, type ChangesOptions } from "../archive/changes.ts";
import type { PathChange } from "../archive/path_change.ts";
import { changedSize, compare, type CompareTreesOptions } from "../archive/compare.ts";
import { type Compression, openCompressedOutput, openPlainArchive } from "../archive/compression.ts";
import type { StartHelper } from "../archive/helper_thread.ts";
import { findWhiteouts, type FoundWhiteouts } from "../archive/idle_whiteouts.ts";
import { compareWithManifest, type ManifestDifference, manifestOf } from "../archive/manifest.ts";
import { pack, type PackOptions, type PackResult } from "../archive/pack.ts";
import { packChanges, type PackChangesOptions } from "../archive/pack_changes.ts";
import { type ShiftOptions, shiftOwners } from "../archive/shift_owners.ts";
import { treeSize } from "../archive/tree_size.ts";
import { type TreesUsage, treesUsage } from "../archive/tree_usage.ts";
import { unpack, type UnpackOptions, type UnpackResult } from "../archive/unpack.ts";
import type { Digest } from "../digest.ts";
import { outputClosed, rootCause, type StorageError } from "../errors.ts";
import { copyTree, type CopyTreeMode } from "../util/copy_tree.ts";
import { removeTree } from "../util/remove_tree.ts";
import type { WorkControl } from "../util/work_control.ts";

/** SHA-256 of the archive as it came or went, where it was asked for: compressed if that is what it was. */
interface ArchiveDigest {
  archiveDigest: Digest | undefined;
}

/** Directories that are compared; without `older` all of `newer` counts as added. */
interface TwoTrees {
  newer: string;
  older: string | undefined;
}

/** What each task is given and gives back. */
export interface Tasks {
  unpack: {
    args: { archiveFd: number; directory: string } & Omit<UnpackOptions, "control" | "startHelper">;
    result: UnpackResult & ArchiveDigest;
  };
  pack: {
    args:
      & { directory: string; archiveFd: number; compression: Compression | undefined }
      & Omit<PackOptions, "control" | "startHelper">;
    result: PackResult & ArchiveDigest;
  };
  changes: {
    args: { upperDir: string; lowerDirs: string[] } & Omit<ChangesOptions, "control">;
    result: PathChange[];
  };
  packChanges: {
    args:
      & TwoTrees
      & { archiveFd: number; compression: Compression | undefined }
      & Omit<PackChangesOptions, "control" | "startHelper">;
    result: PackResult & ArchiveDigest;
  };
  compare: { args: TwoTrees & Omit<CompareTreesOptions, "control">; result: PathChange[] };
  changedSize: { args: TwoTrees & Omit<CompareTreesOptions, "control">; result: number };
  shiftOwners: { args: { directory: string } & Omit<ShiftOptions, "control">; result: void };
  size: { args: { directory: string }; result: number };
  usage: { args: { directories: string[] }; result: TreesUsage };
  copy: { args: { source: string; target: string; mode: CopyTreeMode }; result: void };
  manifest: { args: { directory: string }; result: string };
  verify: { args: { directory: string; manifest: string }; result: ManifestDifference[] };
  findWhiteouts: { args: { directory: string }; result: FoundWhiteouts };
  sync: { args: { directory: string }; result: void };
  remove: { args: { directory: string; name: string }; result: void };
}

/** The name of a task. */
export type TaskName = keyof Tasks;

type TaskFunction<N extends TaskName> = (
  args: Tasks[N]["args"],
  control: WorkControl,
  start: StartHelper | undefined,
) => Tasks[N]["result"] | Promise<Tasks[N]["result"]>;

function openDirectory(path: string): Fd {
  return new Fd(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

/**
 * Runs `write`, and tells a reader that went away from every other fault. To the packer a compressor that failed looks
 * the same, since it closes its pipe: `compressorFailure` knows.
 */
function orClosed<T>(write: () => T, compressorFailure?: () => StorageError | undefined): T {
  try {
    return write();
  } catch (error) {
    if (!isErrno(rootCause(error), "EPIPE")) throw error;
    throw compressorFailure?.() ?? outputClosed(error);
  }
}

/** Has `write` fill a plain archive, and brings it to `archiveFd` as it is to be there. */
async function packInto(
  archiveFd: number,
  compression: Compression | undefined,
  { digest, control, startHelper: start }: Pick<PackOptions, "digest" | "startHelper"> & { control: WorkControl },
  write: (fd: number) => PackResult,
): Promise<PackResult & ArchiveDigest> {
  if (compression === undefined) {
    const result = orClosed(() => write(archiveFd));
    return { ...result, archiveDigest: result.diffId };
  }
  using output = openCompressedOutput(archiveFd, compression, { digest, start });
  await output.ready;
  return orClosed(() => {
    const result = write(output.fd);
    output.finish(() => control.tick(result.entries, result.bytes));
    return { ...result, archiveDigest: output.digest() };
  }, () => output.failure());
}

function openTrees({ newer, older }: TwoTrees): Disposable & { newer: Fd; older: Fd | undefined } {
  using undo = new DisposableStack();
  const newerFd = undo.use(openDirectory(newer));
  const olderFd = older === undefined ? undefined : undo.use(openDirectory(older));
  const both = undo.move();
  return { newer: newerFd, older: olderFd, [Symbol.dispose]: () => both.dispose() };
}

const TASKS: { [N in TaskName]: TaskFunction<N> } = {
  async unpack({ archiveFd, directory, ...options }, control, start): Promise<UnpackResult & ArchiveDigest> {
    using root = openDirectory(directory);
    using archive = openPlainArchive(archiveFd, {
      digest: options.digest,
      start,
      onWait: () => control.tick(0, 0),
    });
    await archive.ready;
    const result = unpack(archive, root.fd, { ...options, control, startHelper: start });
    return { ...result, archiveDigest: archive.digest() ?? result.diffId };
  },
  async pack({ directory, archiveFd, compression, ...options }, control, start): Promise<PackResult & ArchiveDigest> {
    using root = openDirectory(directory);
    const packOptions = { ...options, control, startHelper: start };
    return await packInto(archiveFd, compression, packOptions, (fd) => pack(root.fd, fd, packOptions));
  },
  async packChanges(
    { newer, older, archiveFd, compression, ...options },
    control,
    start,
  ): Promise<PackResult & ArchiveDigest> {
    using trees = openTrees({ newer, older });
    const packOptions = { ...options, control, startHelper: start };
    return await packInto(
      archiveFd,
      compression,
      packOptions,
      (fd) => packChanges(trees.newer.fd, trees.older?.fd, fd, packOptions),
    );
  },
  compare({ newer, older, ...options }, control): PathChange[] {
    using trees = openTrees({ newer, older });
    return compare(trees.newer.fd, trees.older?.fd, { ...options, control });
  },
  changedSize({ newer, older, ...options }, control): number {
    using trees = openTrees({ newer, older });
    return changedSize(trees.newer.fd, trees.older?.fd, { ...options, control });
  },
  changes({ upperDir, lowerDirs, ...options }, control): PathChange[] {
    return changes(upperDir, lowerDirs, { ...options, control });
  },
  shiftOwners({ directory, ...maps }, control): void {
    using root = openDirectory(directory);
    shiftOwners(root.fd, { ...maps, control });
  },
  size({ directory }, control): number {
    using root = openDirectory(directory);
    return treeSize(root.fd, control);
  },
  usage({ directories }, control): TreesUsage {
    return treesUsage(directories, control);
  },
  copy({ source, target, mode }, control): void {
    using from = openDirectory(source);
    using to = openDirectory(target);
    copyTree(from.fd, to.fd, mode, control);
  },
  manifest({ directory }, control): string {
    using root = openDirectory(directory);
    return manifestOf(root.fd, control);
  },
  verify({ directory, manifest }, control): ManifestDifference[] {
    using root = openDirectory(directory);
    return compareWithManifest(root.fd, manifest, control);
  },
  findWhiteouts({ directory }, control): FoundWhiteouts {
    using root = openDirectory(directory);
    return findWhiteouts(root.fd, control);
  },
  sync({ directory }): void {
    using root = openDirectory(directory);
    syncfs(root.fd);
  },
  remove({ directory, name }): void {
    using parent = openDirectory(directory);
    removeTree(parent.fd, name);
  },
};

/**
 * Runs a task in this thread, which it blocks but for the start of its helpers.
 *
 * @param start How threads beside this one are started, where this thread should not do it itself.
 */
export async function runTask<N extends TaskName>(
  name: N,
  args: Tasks[N]["args"],
  control: WorkControl,
  start?: StartHelper,
): Promise<Tasks[N]["result"]> {
  return await TASKS[name](args, control, start);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Who has a directory in use, as the upper or work directory of an overlay or to mount there, in whatever mount namespace: from `/proc/PID/mountinfo`
 * of one process of each namespace.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_PATH, O_RDONLY, openat, readlinkat } from "../../ffi/file.ts";
import { readTextFile } from "../util/read_file.ts";
import { textOf } from "../util/text.ts";
import { type MountInfo, parseMountInfo } from "./mountinfo.ts";
import type { UpperDirs } from "./overlay.ts";

/** A mount that holds a directory, and a process that sees it. */
export interface MountHolder {
  /** The directory. */
  path: string;
  mountPoint: string;
  pid: string;
  /** The program's name, as ps(1) shows it. */
  program: string;
  /** Whether this process sees the mount as well. */
  isOurs: boolean;
}

/** The first mount found that has one of the directories in use. */
export function findHolder({ upperDir, workDir }: UpperDirs): MountHolder | undefined {
  return findMount((mount) => heldBy(mount, "upperdir", upperDir) ?? heldBy(mount, "workdir", workDir));
}

/** The first mount found at the directory `target`, which is there. */
export function findMountAt(target: string): MountHolder | undefined {
  const path = pathInMountTable(target);
  return findMount(({ mountPoint }) => mountPoint === path ? target : undefined);
}

/** Where something is mounted below `directory`, in whatever mount namespace; relative to it. */
export function mountPointsBelow(directory: string): Set<string> {
  const prefix = `${pathInMountTable(directory)}/`;
  const places = new Set<string>();
  findMount(({ mountPoint }) => {
    if (mountPoint.startsWith(prefix)) places.add(mountPoint.slice(prefix.length));
    return undefined;
  });
  return places;
}

/** The first mount found of which `holds` tells the directory that it holds. */
function findMount(holds: (mount: MountInfo) => string | undefined): MountHolder | undefined {
  const ours = namespaceOf("self");
  const looked = new Set<string>();
  for (const pid of ["self", ...processes()]) {
    try {
      const namespace = namespaceOf(pid);
      if (namespace !== undefined && looked.has(namespace)) continue;
      if (namespace !== undefined) looked.add(namespace);
      for (const mount of parseMountInfo(readTextFile(`/proc/${pid}/mountinfo`))) {
        const path = holds(mount);
        if (path === undefined) continue;
        const program = readTextFile(`/proc/${pid}/comm`).trim();
        return { path, mountPoint: mount.mountPoint, pid, program, isOurs: namespace === ours };
      }
    } catch (error) {
      // The process ended, or is not ours to look into.
      if (!isErrno(error)) throw error;
    }
  }
  return undefined;
}

/** Says who it is. */
export function describeHolder({ path, mountPoint, pid, program, isOurs }: MountHolder): string {
  const where = isOurs ? "" : `, in the mount namespace of process ${pid} (${program})`;
  return `${path} is in use by the mount at ${mountPoint}${where}`;
}

function heldBy({ fileSystemType, superOptions }: MountInfo, key: string, path: string): string | undefined {
  if (fileSystemType !== "overlay") return undefined;
  const options = `,${superOptions},`;
  if (options.includes(`,${key}=${path},`)) return path;
  // Docker mounts from its home with the names from there on.
  const relative = new RegExp(`,${key}=([^/,][^,]*),`).exec(options)?.[1];
  return relative !== undefined && path.endsWith(`/${relative}`) ? path : undefined;
}

/** The mount table knows no links. */
function pathInMountTable(path: string): string {
  using directory = new Fd(openat(AT_FDCWD, path, O_PATH | O_DIRECTORY));
  return textOf(readlinkat(AT_FDCWD, `/proc/self/fd/${directory.fd}`));
}

/** Undefined for a process of another user namespace, whose mount table can be read nevertheless. */
function namespaceOf(pid: string): string | undefined {
  try {
    return textOf(readlinkat(AT_FDCWD, `/proc/${pid}/ns/mnt`));
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM")) return undefined;
    throw error;
  }
}

function processes(): string[] {
  const pids: string[] = [];
  using proc = new Fd(openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY));
  readDirectory(proc.fd, (buffer, start, end) => {
    const name = textOf(buffer.subarray(start, end));
    if (/^\d+$/.test(name)) pids.push(name);
  });
  return pids;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * User namespaces that stand for id maps: mount_setattr(2) takes the maps of an id-mapped mount from one, by descriptor.
 * See user_namespaces(7).
 *
 * A namespace begins with a process. That one is killed as soon as the maps are written and the namespace is open, and
 * ends by itself should this process die before.
 *
 * @module
 */

import { CLONE_NEWUSER, endSleeper, startSleeper } from "../../ffi/child.ts";
import { isErrno, SyscallError } from "../../ffi/errno.ts";
import { AT_FDCWD, Fd, O_CLOEXEC, O_RDONLY, O_WRONLY, openat, writeAll } from "../../ffi/file.ts";
import { StorageError } from "../errors.ts";
import type { IdMap, IdMaps } from "../id_map.ts";

const LONGEST_LIFE_SECONDS = 10;
/** A service may have as many maps as containers; descriptors are dearer than namespaces, which take half a millisecond. */
const MOST_KEPT = 16;

/** The namespaces made last, by their maps, the one asked for last at the end. */
const kept = new Map<string, Fd>();

/**
 * A descriptor of a user namespace in which the ids are mapped by `maps`. It stays this module's: it is not to be closed, and
 * good until the next call.
 *
 * @throws {StorageError} `invalid_argument`: maps that the kernel does not take; `not_supported`: it makes no namespace.
 */
export function namespaceOf(maps: IdMaps): number {
  const texts = { uid: mapText(maps.uidMaps), gid: mapText(maps.gidMaps) };
  const key = `${texts.uid}/${texts.gid}`;
  const namespace = kept.get(key) ?? makeNamespace(texts);
  kept.delete(key);
  kept.set(key, namespace);
  for (const [oldest, unused] of kept) {
    if (kept.size <= MOST_KEPT) break;
    kept.delete(oldest);
    unused[Symbol.dispose]();
  }
  return namespace.fd;
}

/** What the kernel reads from `/proc/PID/uid_map`. No maps at all means that ids are the same inside and out. */
function mapText(maps: readonly IdMap[]): string {
  if (maps.length === 0) return "0 0 4294967295\n";
  return maps.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`).join("");
}

function makeNamespace(texts: Readonly<Record<"uid" | "gid", string>>): Fd {
  const pid = startProcess();
  try {
    for (const kind of ["uid", "gid"] as const) writeMap(`/proc/${pid}/${kind}_map`, texts[kind]);
    return new Fd(openat(AT_FDCWD, `/proc/${pid}/ns/user`, O_RDONLY | O_CLOEXEC));
  } finally {
    endSleeper(pid);
  }
}

function startProcess(): number {
  try {
    return startSleeper(CLONE_NEWUSER, LONGEST_LIFE_SECONDS);
  } catch (cause) {
    if (!(cause instanceof SyscallError)) throw cause;
    throw new StorageError("not_supported", `Cannot make a user namespace for id maps: ${cause.message}`, {
      cause,
      hint: isErrno(cause, "ENOSPC")
        ? "too many namespaces, or none allowed: sysctl user.max_user_namespaces"
        : "it takes a kernel with CONFIG_USER_NS, and no seccomp filter that forbids it",
    });
  }
}

/** The kernel takes the maps of a namespace in one write, once. */
function writeMap(path: string, text: string): void {
  using file = new Fd(openat(AT_FDCWD, path, O_WRONLY));
  try {
    writeAll(file.fd, new TextEncoder().encode(text));
  } catch (cause) {
    if (!isErrno(cause, "EINVAL", "EPERM", "E2BIG")) throw cause;
    const map = text.trim().replaceAll(" ", ":").replaceAll("\n", ", ");
    throw new StorageError("invalid_argument", `Cannot map ids by ${map}: ${cause.message}`, {
      cause,
      hint: isErrno(cause, "EPERM")
        ? "host ids have to exist in the user namespace that this process is in"
        : "ranges must not overlap, and there can be 340 at most",
    });
  }
}

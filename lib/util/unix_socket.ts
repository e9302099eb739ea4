// SPDX-License-Identifier: Apache-2.0

/**
 * A place in the file system where one process listens: who holds it, and how it is taken.
 *
 * @module
 */

import { dirname } from "node:path/posix";
import { ERRNO, failure, hex } from "../../ffi/errno.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, Fd, renameat2, unlinkat } from "../../ffi/file.ts";
import {
  AF_UNIX,
  peerPid,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  tryConnectUnix,
  UNIX_PATH_MAX,
} from "../../ffi/socket.ts";
import { umask } from "../../ffi/process.ts";
import { lstatat, S_IFMT, S_IFSOCK, Stat, tryStatx } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";
import { lockDirectory } from "./directory_lock.ts";

/** Everybody but the owner is kept out. */
const SOCKET_UMASK = 0o177;
/** Behind the name while a socket is made. */
const NEW = "~";

/** The name of a socket that is ours. */
export interface SocketPlace {
  /** Gives the name up, unless somebody else has taken it meanwhile. Who is connected stays so. */
  leave(): Promise<void>;
}

/**
 * Has `listen` make a socket, and gives it the name `path`. It is the owner's alone from its first moment on. A socket of
 * that name where nobody listens any more is replaced.
 *
 * It is made under another name, since Deno removes the name that it made a socket by when it closes it, whoever has that
 * name by then. While `listen` runs, no other thread may make files: the umask is the whole process's.
 *
 * @throws {StorageError} `invalid_argument`: the path is too long for a socket, or something else is there, which stays;
 * `socket_in_use`: somebody listens there.
 */
export async function takeSocketPlace<T>(
  path: string,
  listen: (path: string) => T,
): Promise<{ listener: T; place: SocketPlace }> {
  const made = `${path}${NEW}`;
  if (new TextEncoder().encode(made).length >= UNIX_PATH_MAX) {
    const most = UNIX_PATH_MAX - 1 - NEW.length;
    throw new StorageError(
      "invalid_argument",
      `Cannot listen on ${path}: a socket's path has at most ${most} bytes here`,
    );
  }
  // Two that find the same dead socket must not take it from each other.
  using _lock = await lockDirectory(dirname(path), "exclusive");
  clearSocketPlace(path);
  clearSocketPlace(made);
  const before = umask(SOCKET_UMASK);
  let listener: T;
  try {
    listener = listen(made);
  } finally {
    umask(before);
  }
  const { fileKey } = lstatat(AT_FDCWD, made);
  renameat2(AT_FDCWD, made, AT_FDCWD, path);
  const leave = async (): Promise<void> => {
    using _lock = await lockDirectory(dirname(path), "exclusive");
    const now = new Stat();
    if (tryStatx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, now) === 0 && now.fileKey === fileKey) unlinkat(AT_FDCWD, path);
  };
  return { listener, place: { leave } };
}

/**
 * Makes room for a socket: one where nobody listens any more is removed.
 *
 * @throws {StorageError} As {@linkcode takeSocketPlace}.
 */
function clearSocketPlace(path: string): void {
  const action = `Cannot listen on ${path}`;
  const there = new Stat();
  const result = tryStatx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, there);
  if (result === -ERRNO.ENOENT) return;
  if (result < 0) throw failure(-result, "statx", AT_FDCWD, path, hex(AT_SYMLINK_NOFOLLOW));
  if ((there.mode & S_IFMT) !== S_IFSOCK) {
    throw new StorageError("invalid_argument", `${action}: there is something else than a socket, which stays`, {
      hint: "name another place, or move away what is there",
    });
  }
  const pid = listenerOf(path);
  if (pid === undefined) return unlinkat(AT_FDCWD, path);
  throw new StorageError("socket_in_use", `${action}: process ${pid} listens there`, {
    hint: `stop it (ps -p ${pid} tells what it is), or name another place`,
  });
}

/** The process that listens on the socket `path`; undefined if none does. */
export function listenerOf(path: string): number | undefined {
  using connection = new Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC));
  const result = tryConnectUnix(connection.fd, path);
  if (result === -ERRNO.ECONNREFUSED || result === -ERRNO.ENOENT) return undefined;
  // EAGAIN: somebody does, and has more callers than he can take.
  if (result < 0 && result !== -ERRNO.EAGAIN) throw failure(-result, "connect", connection.fd, path);
  return peerPid(connection.fd);
}

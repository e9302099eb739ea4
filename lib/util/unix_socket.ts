// SPDX-License-Identifier: Apache-2.0

/**
 * A place in the file system where one process listens: who holds it, and how it is taken.
 *
 * @module
 */

import { ERRNO, failure, hex } from "../../ffi/errno.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, Fd, unlinkat } from "../../ffi/file.ts";
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
import { S_IFMT, S_IFSOCK, Stat, tryStatx } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";

/**
 * Makes room for a socket at `path`: one where nobody listens any more is removed. The caller keeps others away meanwhile.
 *
 * @throws {StorageError} `invalid_argument`: the path is too long for a socket, or something else is there, which stays;
 * `socket_in_use`: somebody listens there.
 */
export function clearSocketPlace(path: string): void {
  const action = `Cannot listen on ${path}`;
  if (new TextEncoder().encode(path).length >= UNIX_PATH_MAX) {
    throw new StorageError("invalid_argument", `${action}: a socket's path has at most ${UNIX_PATH_MAX - 1} bytes`);
  }
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

/** Everybody but the owner is kept out. */
const SOCKET_UMASK = 0o177;

/**
 * Calls `listen`, whose socket gets the mode 0600 from its first moment on. The umask is the whole process's: nothing else
 * may make files meanwhile, in other threads either.
 */
export function listenAsOwner<T>(listen: () => T): T {
  const before = umask(SOCKET_UMASK);
  try {
    return listen();
  } finally {
    umask(before);
  }
}

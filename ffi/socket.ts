// SPDX-License-Identifier: Apache-2.0

/**
 * Sockets in the file system: unix(7).
 *
 * @module
 */

import { cstring } from "./_cstring.ts";
import { lastErrno, libc } from "./_libc.ts";
import { failure } from "./errno.ts";

export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

/** Bytes of `sun_path`, the NUL at its end among them. */
export const UNIX_PATH_MAX = 108;

/** `socket(domain, type, 0)`: a descriptor. See socket(2). */
export function socket(domain: number, type: number): number {
  const fd = libc.socket(domain, type, 0);
  if (fd === -1) throw failure(lastErrno(), "socket", domain, type, 0);
  return fd;
}

/**
 * `connect(fd, {AF_UNIX, path})`: 0, or a negative errno (ECONNREFUSED: nobody listens). See connect(2).
 *
 * @param path Its bytes and a NUL fit {@linkcode UNIX_PATH_MAX}.
 */
export function tryConnectUnix(fd: number, path: string): number {
  const name = cstring(path);
  const length = name.indexOf(0);
  if (length >= UNIX_PATH_MAX) throw new TypeError(`Cannot connect to ${JSON.stringify(path)}: it is too long`);
  // struct sockaddr_un { sa_family_t sun_family; char sun_path[108]; }
  const address = new Uint8Array(2 + UNIX_PATH_MAX);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name.subarray(0, length), 2);
  return libc.connect(fd, address, address.length) === -1 ? -lastErrno() : 0;
}

/** `getsockopt(fd, SOL_SOCKET, SO_PEERCRED)`: the process that listens at the other end; 0 if it is not of our pid namespace. */
export function peerPid(fd: number): number {
  // struct ucred { pid_t pid; uid_t uid; gid_t gid; }
  const credentials = new Int32Array(3);
  const length = new Uint32Array([credentials.byteLength]);
  if (libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length) === -1) {
    throw failure(lastErrno(), "getsockopt", fd, SOL_SOCKET, SO_PEERCRED);
  }
  return credentials[0]!;
}

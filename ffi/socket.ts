// SPDX-License-Identifier: Apache-2.0

/**
 * Sockets of one machine, in the file system or of an abstract name: unix(7).
 *
 * @module
 */

import { cstring } from "./_cstring.ts";
import { lastErrno, libc } from "./_libc.ts";
import { failure } from "./errno.ts";

export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
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
  const address = pathAddress(path);
  return libc.connect(fd, address, address.length) === -1 ? -lastErrno() : 0;
}

/**
 * `sendto(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL, {AF_UNIX, name})`: 0, or a negative errno (EAGAIN: the receiver has more
 * than it can take). See sendto(2).
 *
 * @param name A path, or `@` and a name that is in no file system. Its bytes and a NUL fit {@linkcode UNIX_PATH_MAX}.
 */
export function trySendToUnix(fd: number, message: Uint8Array, name: string): number {
  const address = name.startsWith("@") ? abstractAddress(name.slice(1)) : pathAddress(name);
  const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  const bytes = message as Uint8Array<ArrayBuffer>;
  return libc.sendto(fd, bytes, BigInt(bytes.length), flags, address, address.length) === -1 ? -lastErrno() : 0;
}

/** `struct sockaddr_un { sa_family_t sun_family; char sun_path[108]; }`: a path, and NUL. */
function pathAddress(path: string): Uint8Array<ArrayBuffer> {
  return socketAddress(path, 0);
}

/** The same with an abstract name: NUL, and a name that ends where the structure does. */
function abstractAddress(name: string): Uint8Array<ArrayBuffer> {
  return socketAddress(name, 1);
}

function socketAddress(name: string, at: 0 | 1): Uint8Array<ArrayBuffer> {
  const bytes = cstring(name);
  const length = bytes.indexOf(0);
  if (length >= UNIX_PATH_MAX) {
    throw new TypeError(`Cannot use the socket name ${JSON.stringify(name)}: it is too long`);
  }
  const address = new Uint8Array(2 + length + 1);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(bytes.subarray(0, length), 2 + at);
  return address;
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

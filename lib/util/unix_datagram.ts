// SPDX-License-Identifier: Apache-2.0

/**
 * One message to a datagram socket of this machine.
 *
 * @module
 */

import { ERRNO, failure } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/file.ts";
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, socket, trySendToUnix } from "../../ffi/socket.ts";

const encoder = new TextEncoder();
/** How long a receiver may be busy. */
const MOST_TRIES = 100;
const RETRY_MS = 50;

/**
 * Sends `message` to the socket `name`: a path, or `@` and an abstract name. A receiver whose queue is full is waited for
 * for five seconds, while other work goes on.
 *
 * @throws {TypeError} `name` is too long for a socket.
 * @throws {SyscallError} Nobody receives there: `ENOENT`, `ECONNREFUSED`; or he is too busy: `EAGAIN`.
 */
export async function sendDatagram(name: string, message: string): Promise<void> {
  using sender = new Fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC));
  const bytes = encoder.encode(message);
  for (let tries = 1;; tries++) {
    const result = trySendToUnix(sender.fd, bytes, name);
    if (result === 0) return;
    if (result !== -ERRNO.EAGAIN || tries === MOST_TRIES) throw failure(-result, "sendto", sender.fd, name);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

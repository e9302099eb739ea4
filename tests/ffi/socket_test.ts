// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/file.ts";
import {
  AF_UNIX,
  peerPid,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_STREAM,
  socket,
  tryConnectUnix,
  trySendToUnix,
} from "../../ffi/socket.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { assertEquals, assertThrows } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

function open(): Fd {
  return new Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC));
}

Deno.test("tryConnectUnix() and peerPid() find who listens", () => {
  using directory = TempDir.makeSync();
  using _listener = Deno.listen({ transport: "unix", path: directory.join("socket") });
  using connection = open();
  assertEquals(tryConnectUnix(connection.fd, directory.join("socket")), 0);
  assertEquals(peerPid(connection.fd), Deno.pid);
});

Deno.test("tryConnectUnix() tells a dead socket from none at all", () => {
  using directory = TempDir.makeSync();
  using connection = open();
  const path = directory.join("socket");
  assertEquals(tryConnectUnix(connection.fd, path), -ERRNO.ENOENT);
  Deno.writeTextFileSync(path, "");
  assertEquals(tryConnectUnix(connection.fd, path), -ERRNO.ECONNREFUSED);
});

Deno.test("tryConnectUnix() takes a path of 107 bytes, and refuses a longer one before the kernel cuts it", () => {
  using directory = TempDir.makeSync();
  const path = directory.join("x".repeat(107 - directory.path.length - 1));
  using _listener = Deno.listen({ transport: "unix", path });
  using connection = open();
  assertEquals(tryConnectUnix(connection.fd, path), 0);
  assertThrows(() => tryConnectUnix(connection.fd, `${path}x`), TypeError, "too long");
});

Deno.test("socket() and peerPid() answer errno", () => {
  assertErrno(() => socket(AF_UNIX, 99), "EINVAL");
  assertErrno(() => peerPid(1_000_000), "EBADF");
});

Deno.test("trySendToUnix() answers errno for names where nobody receives, and refuses those that are too long", () => {
  using directory = TempDir.makeSync();
  using sender = new Fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC));
  const send = (name: string): number => trySendToUnix(sender.fd, new Uint8Array(1), name);
  assertEquals(send(directory.join("socket")), -ERRNO.ENOENT);
  assertEquals(send(`@${directory.path}`), -ERRNO.ECONNREFUSED);
  assertEquals(send(`@${"x".repeat(107)}`), -ERRNO.ECONNREFUSED);
  assertThrows(() => send(`@${"x".repeat(108)}`), TypeError, "too long");
  assertThrows(() => send(`/${"x".repeat(107)}`), TypeError, "too long");
});

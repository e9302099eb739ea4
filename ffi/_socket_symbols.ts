// SPDX-License-Identifier: Apache-2.0

/**
 * Prototypes of the calls on sockets: a part of the table in _libc.ts.
 *
 * @module
 */

/** <sys/socket.h>. */
export const SOCKET_SYMBOLS = {
  socket: { parameters: ["i32", /* int domain */ "i32", /* int type */ "i32" /* int protocol */], result: "i32" },
  connect: {
    parameters: ["i32", /* int sockfd */ "buffer", /* const struct sockaddr *addr */ "u32" /* socklen_t addrlen */],
    result: "i32",
  },
  sendto: {
    parameters: [
      "i32", /* int sockfd */
      "buffer", /* const void *buf */
      "usize", /* size_t len */
      "i32", /* int flags */
      "buffer", /* const struct sockaddr *dest_addr */
      "u32", /* socklen_t addrlen */
    ],
    result: "i32",
  },
  getsockopt: {
    parameters: [
      "i32", /* int sockfd */
      "i32", /* int level */
      "i32", /* int optname */
      "buffer", /* void *optval */
      "buffer", /* socklen_t *optlen */
    ],
    result: "i32",
  },
} as const satisfies Record<string, Deno.ForeignFunction>;

// SPDX-License-Identifier: Apache-2.0

/**
 * The least that a compiled program does which calls the C library.
 *
 * @module
 */

const libc = Deno.dlopen("libc.so.6", { getpid: { parameters: [], result: "i32" } });
libc.symbols.getpid();

// SPDX-License-Identifier: Apache-2.0

/**
 * Random names.
 *
 * @module
 */

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** `length` characters of RFC 4648's base 32, five random bits each. */
export function randomId(length: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => BASE32[byte & 31]).join("");
}

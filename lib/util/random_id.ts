// SPDX-License-Identifier: Apache-2.0

/**
 * Random names.
 *
 * @module
 */

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** Random bytes in store: a call into the runtime for each name would cost more than making a file. */
const store = new Uint8Array(1024);
let used = store.length;

/** `length` characters of RFC 4648's base 32, five random bits each. */
export function randomId(length: number): string {
  let id = "";
  for (let i = 0; i < length; i++) {
    if (used === store.length) {
      crypto.getRandomValues(store);
      used = 0;
    }
    id += BASE32[store[used++]! & 31];
  }
  return id;
}

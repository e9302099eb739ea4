// SPDX-License-Identifier: Apache-2.0

/**
 * `@std/assert` in its npm edition, which resolves where JSR cannot be reached. That edition ships no types:
 * std_assert.d.ts has them for the functions used here, so that a wrong use fails `deno check`.
 *
 * @module
 */

// @ts-types="./std_assert.d.ts"
export {
  assert,
  assertEquals,
  assertExists,
  assertGreater,
  assertInstanceOf,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  equal,
  fail,
} from "npm:deno-std@1.4.0/assert/mod.js";

// SPDX-License-Identifier: Apache-2.0

/**
 * Bytes as text.
 *
 * @module
 */

const decoder = new TextDecoder();

/** UTF-8 `bytes` as a string. */
export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What identifies content.
 *
 * @module
 */

/** SHA-256 as images and registries write it: `sha256:` and 64 hexadecimal digits. */
export type Digest = `sha256:${string}`;

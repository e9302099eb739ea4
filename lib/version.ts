// SPDX-License-Identifier: Apache-2.0

/**
 * Which lamina this is.
 *
 * @module
 */

/** The version, the same as in deno.json. */
export const VERSION = "0.1.0";

// SPDX-License-Identifier: Apache-2.0

/**
 * Every third-party module that the program uses. Whole specifiers, since an import map does not travel with a module
 * that is imported by URL. The npm edition of the standard library has no types; lib/deps/ has them for what is used.
 *
 * @module
 */

// @ts-types="./deps/cli.d.ts"
export { parseArgs } from "npm:deno-std@1.4.0/cli/parse_args.js";
// @ts-types="./deps/text.d.ts"
export { levenshteinDistance } from "npm:deno-std@1.4.0/text/levenshtein_distance.js";

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina version`: which lamina this is.
 *
 * @module
 */

import { VERSION } from "../../version.ts";
import type { Context } from "../context.ts";

/** Prints the version. */
export function version({ output }: Context): void {
  if (output.json) output.printJson({ version: VERSION, deno: Deno.version.deno, target: Deno.build.target });
  else output.printLines([`lamina ${VERSION}`]);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina exists`: whether there is such a layer.
 *
 * @module
 */

import type { CommandOf } from "../args.ts";
import type { Context } from "../context.ts";
import { EXIT, type ExitNumber } from "../exit_code.ts";

/** Answers by the exit number. */
export async function exists({ id }: CommandOf<"exists">, { output, openDriver }: Context): Promise<ExitNumber> {
  const isThere = await (await openDriver()).exists(id);
  if (output.json) output.printJson({ id, exists: isThere });
  return isThere ? EXIT.ok : EXIT.failed;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina exists`: whether there is such a layer.
 *
 * @module
 */

import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { findLayerId } from "../docker_names.ts";
import { EXIT, type ExitNumber } from "../exit_code.ts";

/** Answers by the exit number. */
export async function exists({ id }: CommandOf<"exists">, context: Context): Promise<ExitNumber> {
  const { output, openDriver } = context;
  const layerId = await findLayerId(id, context);
  const isThere = layerId !== undefined && await (await openDriver()).exists(layerId);
  if (output.json) output.printJson({ id, exists: isThere });
  return isThere ? EXIT.ok : EXIT.failed;
}

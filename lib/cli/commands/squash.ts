// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina squash`: makes one layer of several.
 *
 * @module
 */

import { squashLayer } from "../../drivers/whole_layers.ts";
import { tellFilled } from "../archive_input.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { withProgress } from "../progress.ts";

/** Makes a new layer that shows what another one shows. */
export async function squash(command: CommandOf<"squash">, { output, openDriver }: Context): Promise<void> {
  const { id, newId, parent } = command;
  const driver = await openDriver();
  const options = { logger: output.logger, ...(parent === undefined ? {} : { parent }) };
  const result = await withProgress(output, (work) => squashLayer(driver, id, newId, { ...options, ...work }));
  tellFilled("made", newId, result, output);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina create`: makes an empty layer, or a copy of one.
 *
 * @module
 */

import type { CreateOptions } from "../../drivers/driver.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { idMapsOption } from "../id_map_options.ts";

/** Makes a layer. */
export async function create(command: CommandOf<"create">, context: Context): Promise<void> {
  const { id, parent, readWrite, template, size, idMaps } = command;
  const options: CreateOptions = {
    ...(parent === undefined ? {} : { parent }),
    ...idMapsOption(idMaps),
    ...(size === undefined ? {} : { storageOptions: { size } }),
  };
  const driver = await context.openDriver();
  if (template !== undefined) await driver.createFromTemplate(id, template, options);
  else if (readWrite) await driver.createReadWrite(id, options);
  else await driver.create(id, options);
  if (context.output.json) context.output.printJson({ id });
}

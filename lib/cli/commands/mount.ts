// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina mount`: mounts a layer, or shows layers at a place of the user's choice.
 *
 * @module
 */

import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { idMapsOption } from "../id_map_options.ts";

/** Mounts, and prints where. The mount outlives this process, so that `unmount` has to take it back. */
export async function mount(command: CommandOf<"mount">, { output, openDriver }: Context): Promise<void> {
  const { ids, at, readOnly, label, options, idMaps } = command;
  const driver = await openDriver();
  const how = {
    readOnly,
    mountOptions: options,
    ...(label === undefined ? {} : { mountLabel: label }),
    ...idMapsOption(idMaps),
  };
  if (at !== undefined) {
    const { path, ...view } = await driver.mountAt(at, ids, how);
    if (output.json) output.printJson({ ids, path, readOnly: view.readOnly });
    else output.printLines([path]);
    return;
  }
  const id = ids[0]!;
  const { path } = await driver.get(id, how);
  if (output.json) output.printJson({ id, path });
  else output.printLines([path]);
}

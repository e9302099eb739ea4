// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina mount`: mounts a layer.
 *
 * @module
 */

import type { CommandOf } from "../args.ts";
import type { Context } from "../context.ts";
import { idMapsOption } from "../id_map_options.ts";

/** Mounts a layer and prints where. The mount outlives this process, so that `unmount` has to take it back. */
export async function mount(command: CommandOf<"mount">, { output, openDriver }: Context): Promise<void> {
  const { id, readOnly, label, options, idMaps } = command;
  const driver = await openDriver();
  const { path } = await driver.get(id, {
    readOnly,
    mountOptions: options,
    ...(label === undefined ? {} : { mountLabel: label }),
    ...idMapsOption(idMaps),
  });
  if (output.json) output.printJson({ id, path });
  else output.printLines([path]);
}

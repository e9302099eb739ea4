// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina import`: makes a layer of a root file system.
 *
 * @module
 */

import { importLayer } from "../../drivers/whole_layers.ts";
import { readArchive, tellFilled } from "../archive_input.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { withProgress } from "../progress.ts";

/** Makes a layer of an archive; if that fails, there is none. */
export async function importArchive(command: CommandOf<"import">, { output, openDriver }: Context): Promise<void> {
  const { kind, id, file, parent, digest, manifest, limits } = command;
  await readArchive(file, [kind, id], async (fd) => {
    const driver = await openDriver();
    const options = { digest, manifest, limits, logger: output.logger, ...(parent === undefined ? {} : { parent }) };
    const result = await withProgress(output, (work) => importLayer(driver, id, { fd }, { ...options, ...work }));
    tellFilled("imported", id, result, output);
  });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina diff`: writes what a layer changes as an archive.
 *
 * @module
 */

import type { DiffOptions } from "../../drivers/driver.ts";
import { writeArchive } from "../archive_output.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { idMapsOption } from "../id_map_options.ts";
import { withProgress } from "../progress.ts";

/** Writes a diff to standard output, or to a file that appears when it is whole. */
export async function diff(command: CommandOf<"diff">, { output, openDriver }: Context): Promise<void> {
  const { id, output: path, kind } = command;
  const { comparedWith, compression, times, xattrs, compareContent, skipErrors, digest, idMaps } = command;
  await writeArchive({ id, path, command: kind }, output, async (fd) => {
    const options: DiffOptions = {
      digest,
      skipErrors,
      compareContent,
      ...(comparedWith === undefined ? {} : { parent: comparedWith }),
      ...(compression === undefined ? {} : { compression }),
      ...(times === undefined ? {} : { times }),
      ...(xattrs === undefined ? {} : { xattrs }),
      ...idMapsOption(idMaps),
    };
    const driver = await openDriver();
    return await withProgress(output, (work) => driver.diffTo(id, { fd }, { ...options, ...work }));
  });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina export`: writes all that one sees in a layer as an archive.
 *
 * @module
 */

import type { DiffOptions } from "../../drivers/driver.ts";
import { writeArchive } from "../archive_output.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { withProgress } from "../progress.ts";

/** Writes a root file system to standard output, or to a file that appears when it is whole. */
export async function exportLayer(command: CommandOf<"export">, { output, openDriver }: Context): Promise<void> {
  const { id, output: path, kind, compression, times, digest } = command;
  await writeArchive({ id, path, command: kind }, output, async (fd) => {
    const options: DiffOptions = {
      whole: true,
      digest,
      ...(compression === undefined ? {} : { compression }),
      ...(times === undefined ? {} : { times }),
    };
    const driver = await openDriver();
    return await withProgress(output, (work) => driver.diffTo(id, { fd }, { ...options, ...work }));
  });
}

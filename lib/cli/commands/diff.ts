// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina diff`: writes what a layer changes as an archive.
 *
 * @module
 */

import type { CompareOptions, DiffOptions } from "../../drivers/driver.ts";
import { writeArchive } from "../archive_output.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { summaryLines, summaryOf } from "../diff_summary.ts";
import { idMapsOption } from "../id_map_options.ts";
import { withProgress } from "../progress.ts";

/** Writes a diff to standard output, or to a file that appears when it is whole. */
export async function diff(command: CommandOf<"diff">, context: Context): Promise<void> {
  if (command.summary) return await summarise(command, context);
  const { output, openDriver } = context;
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

/** Tells what is in the diff: it holds all attributes that differ, so that these count here as well. */
async function summarise(command: CommandOf<"diff">, { output, openDriver }: Context): Promise<void> {
  const { id, comparedWith, compareContent, idMaps } = command;
  const options: CompareOptions = {
    details: true,
    compareXattrs: true,
    compareContent,
    ...(comparedWith === undefined ? {} : { parent: comparedWith }),
    ...idMapsOption(idMaps),
  };
  const driver = await openDriver();
  const summary = summaryOf(await withProgress(output, (work) => driver.changes(id, { ...options, ...work })));
  if (output.json) output.printJson({ id, ...summary });
  else output.printLines(summaryLines(summary));
}

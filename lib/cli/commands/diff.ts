// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina diff`: writes what a layer changes as an archive.
 *
 * @module
 */

import type { CompareOptions, DiffOptions, DiffResult } from "../../drivers/driver.ts";
import { formatSize } from "../../units.ts";
import { OutputFile } from "../../util/open_file.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { summaryLines, summaryOf } from "../diff_summary.ts";
import { idMapsOption } from "../id_map_options.ts";
import { withProgress } from "../progress.ts";
import { UsageError } from "../usage_error.ts";
import { digestLines } from "../digest_lines.ts";

const STDOUT = 1;

/** Writes a diff to standard output, or to a file that appears when it is whole. */
export async function diff(command: CommandOf<"diff">, context: Context): Promise<void> {
  const { id, output: path } = command;
  const { output } = context;
  if (command.summary) return await summarise(command, context);
  if (path !== "-") {
    using file = OutputFile.open(path);
    const result = await diffTo(file.fd, command, context);
    file.commit();
    if (output.json) return output.printJson({ id, ...result });
    output.printLines(digestLines(result));
    output.note(`wrote ${path}: ${result.entries} entries, ${formatSize(result.bytes)}`);
    return;
  }
  if (output.isTerminal) {
    throw new UsageError("an archive is not for a terminal", {
      command: "diff",
      hint: `lamina diff ${id} -o FILE, or lamina diff ${id} | …`,
    });
  }
  // Standard output is the archive's.
  for (const line of digestLines(await diffTo(STDOUT, command, context))) output.printError(`${line}\n`);
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

async function diffTo(fd: number, command: CommandOf<"diff">, { output, openDriver }: Context): Promise<DiffResult> {
  const { id, comparedWith, compression, times, xattrs, compareContent, skipErrors, digest, idMaps } = command;
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
  const result = await withProgress(output, (work) => driver.diffTo(id, { fd }, { ...options, ...work }));
  for (const path of result.skippedSockets) output.logger.warn(`left out ${path}: an archive cannot hold a socket`);
  for (const { path, reason } of result.skipped) output.logger.warn(`left out ${path}: ${reason}`);
  return result;
}

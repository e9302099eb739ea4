// SPDX-License-Identifier: Apache-2.0

/**
 * Archives that a command writes: to standard output, or to a file that appears when it is whole.
 *
 * @module
 */

import type { DiffResult } from "../drivers/driver.ts";
import { formatSize } from "../units.ts";
import { OutputFile } from "../util/open_file.ts";
import { digestLines } from "./digest_lines.ts";
import type { Output } from "./output.ts";
import type { CommandName } from "./usage.ts";
import { UsageError } from "./usage_error.ts";

const STDOUT = 1;

/** An archive to be written. */
export interface ArchiveOutput {
  /** The layer that is in it. */
  id: string;
  /** A file, or `-` for standard output. */
  path: string;
  /** Who writes it. */
  command: CommandName;
}

/**
 * Has `write` write an archive to a descriptor, and tells about it.
 *
 * @throws {UsageError} Standard output is a terminal.
 */
export async function writeArchive(
  { id, path, command }: ArchiveOutput,
  output: Output,
  write: (fd: number) => Promise<DiffResult>,
): Promise<void> {
  if (path !== "-") {
    using file = OutputFile.open(path);
    const result = await write(file.fd);
    tellLeftOut(result, output);
    file.commit();
    if (output.json) return output.printJson({ id, ...result });
    output.printLines(digestLines(result));
    output.note(`wrote ${path}: ${result.entries} entries, ${formatSize(result.bytes)}`);
    return;
  }
  if (output.isTerminal) {
    throw new UsageError("an archive is not for a terminal", {
      command,
      hint: `lamina ${command} ${id} -o FILE, or lamina ${command} ${id} | …`,
    });
  }
  const result = await write(STDOUT);
  tellLeftOut(result, output);
  // Standard output is the archive's.
  for (const line of digestLines(result)) output.printError(`${line}\n`);
}

function tellLeftOut({ skippedSockets, skipped }: DiffResult, { logger }: Output): void {
  for (const path of skippedSockets) logger.warn(`left out ${path}: an archive cannot hold a socket`);
  for (const { path, reason } of skipped) logger.warn(`left out ${path}: ${reason}`);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Archives that a command reads: from standard input, or from a file; and what is told of a layer that was filled.
 *
 * @module
 */

import type { ApplyResult } from "../drivers/driver.ts";
import { formatSize } from "../units.ts";
import { openForReading } from "../util/open_file.ts";
import { digestLines } from "./digest_lines.ts";
import type { Output } from "./output.ts";
import type { CommandName } from "./usage.ts";
import { UsageError } from "./usage_error.ts";

const STDIN = 0;

// deno-lint-ignore camelcase -- as the library spells its reasons
const WHY = { storage: "a storage driver's", host: "the host's", policy: "--xattrs", not_supported: "not supported" };

/**
 * Has `read` read the archive `path`, which is a file, or `-` for standard input.
 *
 * @param words The words of the command line before the file, for a hint.
 * @throws {UsageError} Standard input is a terminal.
 */
export async function readArchive(
  path: string,
  [command, ...words]: readonly [CommandName, ...string[]],
  read: (fd: number) => Promise<void>,
): Promise<void> {
  if (path !== "-") {
    using archive = openForReading(path);
    return await read(archive.fd);
  }
  if (Deno.stdin.isTerminal()) {
    const line = ["lamina", command, ...words].join(" ");
    throw new UsageError("there is no archive: standard input is a terminal", {
      command,
      hint: `${line} FILE, or … | ${line}`,
    });
  }
  await read(STDIN);
}

/** Tells what attributes were left out, if any were. */
export function tellDroppedXattrs(dropped: ApplyResult["droppedXattrs"], output: Output): void {
  if (dropped.length === 0) return;
  const told = dropped.map(({ name, reason }) => `${name} (${WHY[reason]})`).join(", ");
  output.note(`left out extended attributes: ${told}`);
}

/** Tells what went into a layer; `done` is the word for it. */
export function tellFilled(done: string, id: string, result: ApplyResult, output: Output): void {
  tellDroppedXattrs(result.droppedXattrs, output);
  if (output.json) return output.printJson({ id, ...result });
  output.printLines(digestLines(result));
  output.note(`${done} ${id}: ${result.entries} entries, ${formatSize(result.bytes)}`);
}

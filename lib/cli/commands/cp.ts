// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina cp`: copies files out of a layer, or into one.
 *
 * @module
 */

import { copyFromLayer, type CopyResult, copyToLayer } from "../../drivers/layer_files.ts";
import { formatSize } from "../../units.ts";
import { tellDroppedXattrs } from "../archive_input.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import type { CopyWords } from "../copy_place.ts";
import { withProgress } from "../progress.ts";
import { UsageError } from "../usage_error.ts";

const [STDIN, STDOUT] = [0, 1] as const;

/** Copies, and tells how much. */
export async function cp(command: CommandOf<"cp">, context: Context): Promise<void> {
  const { output } = context;
  const result = await (command.direction === "in" ? copyIn(command, context) : copyOut(command, context));
  for (const path of result.skippedSockets) output.logger.warn(`left out ${path}: an archive cannot hold a socket`);
  tellDroppedXattrs(result.droppedXattrs, output);
  const { entries, bytes } = result;
  if (output.json) output.printJson({ entries, bytes });
  else output.note(`copied ${entries} entries, ${formatSize(bytes)}`);
}

async function copyOut({ layer: { id, path }, host }: CopyWords, { output, openDriver }: Context): Promise<CopyResult> {
  if (host === "-" && output.isTerminal) {
    throw new UsageError("an archive is not for a terminal", {
      command: "cp",
      hint: `lamina cp ${id}:${path} - | tar -t`,
    });
  }
  const target = host === "-" ? { fd: STDOUT } : host;
  const driver = await openDriver();
  return await withProgress(output, (work) => copyFromLayer(driver, id, path, target, work));
}

async function copyIn({ layer: { id, path }, host }: CopyWords, { output, openDriver }: Context): Promise<CopyResult> {
  if (host === "-" && Deno.stdin.isTerminal()) {
    throw new UsageError("there is no archive: standard input is a terminal", {
      command: "cp",
      hint: `tar -c … | lamina cp - ${id}:${path}`,
    });
  }
  const source = host === "-" ? { fd: STDIN } : host;
  const driver = await openDriver();
  return await withProgress(output, (work) => copyToLayer(driver, source, id, path, work));
}

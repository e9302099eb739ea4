// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina run`: runs a program in a layer.
 *
 * @module
 */

import type { GraphDriver } from "../../drivers/driver.ts";
import { randomId } from "../../util/random_id.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import type { Output } from "../output.ts";
import { rootToEnter, runAsFirst, runInRoot } from "../run_in_root.ts";

/** Runs a program in a new layer, or with nothing to be written in the layer itself; what it ended with. */
export async function run(command: CommandOf<"run">, { output, openDriver }: Context): Promise<number> {
  const { id, program, readOnly, commit, remove } = command;
  const root = rootToEnter();
  if (root !== undefined) return await runAsFirst(root, program, (error) => output.error(error));
  const driver = await openDriver();
  if (readOnly) {
    const code = await runMounted(driver, id, command, output);
    if (output.json) output.printJson({ id: null, code });
    return code;
  }
  const layer = commit ?? `run-${randomId(8).toLowerCase()}`;
  await driver.createReadWrite(layer, { parent: id });
  let isKept = false;
  try {
    const code = await runMounted(driver, layer, command, output);
    isKept = !remove && (commit === undefined || code === 0);
    if (!isKept) await driver.remove(layer);
    if (output.json) output.printJson({ id: isKept ? layer : null, code });
    else if (isKept) output.note(`kept as ${layer}`);
    else if (commit !== undefined) output.note(`not kept as ${layer}: the program ended with ${code}`);
    return code;
  } catch (error) {
    if (!isKept) await removeAgain(driver, layer, output);
    throw error;
  }
}

async function runMounted(
  driver: GraphDriver,
  layer: string,
  { id, program, readOnly, label, options }: CommandOf<"run">,
  { logger }: Output,
): Promise<number> {
  await using mounted = await driver.get(layer, {
    readOnly,
    mountOptions: options,
    ...(label === undefined ? {} : { mountLabel: label }),
  });
  return await runInRoot(mounted.path, ["run", id, "--", ...program], logger);
}

async function removeAgain(driver: GraphDriver, layer: string, { logger }: Output): Promise<void> {
  try {
    await driver.remove(layer);
  } catch (error) {
    // What went wrong first is the error to tell.
    logger.warn(`layer "${layer}" stays: ${error instanceof Error ? error.message : String(error)}`);
  }
}

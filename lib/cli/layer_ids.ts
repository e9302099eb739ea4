// SPDX-License-Identifier: Apache-2.0

/**
 * Which words of a command are ids of layers that are there, and which layers they mean: ids may be shortened, as those of
 * git and docker, and with `--docker-root` names of dockerd's stand for layers.
 *
 * Commands that remove or rewrite a layer take whole ids only, so that nobody loses `job-10` because `job-1` is gone, and so
 * do those that make a layer or ask whether it is there. Those by which something is written in a layer take the beginning
 * of an id that a program made, as dockerd's are, and no other. All tell what they took a word for.
 *
 * @module
 */

import type { GraphDriver } from "../drivers/driver.ts";
import { StorageError } from "../errors.ts";
import { isLayerId } from "../layer_id.ts";
import type { Command } from "./command.ts";
import { type Context, layerNotFound, listLayers } from "./context.ts";
import { rootToEnter } from "./root_to_enter.ts";
import { didYouMean, UsageError } from "./usage_error.ts";

/**
 * The command with the ids that its words mean. Looks at the store only where there are such words, and lists it only where
 * one is no layer's id.
 *
 * @throws {UsageError} The beginning of several ids.
 * @throws {StorageError} `layer_not_found`: what looks like a slip of the finger; and with `--docker-root`, as docker_names.ts.
 */
export async function withLayerIds(command: Command, context: Context): Promise<Command> {
  const find = (word: string): Promise<string> => layerMeant(word, command, context);
  const findWritten = (word: string): Promise<string> => layerMeant(word, command, context, isMachineMade);
  const findAny = async <T>(word: string | T): Promise<string | T> =>
    typeof word === "string" ? await find(word) : word;
  switch (command.kind) {
    case "create":
      return { ...command, parent: await findAny(command.parent), template: await findAny(command.template) };
    case "apply":
    case "import":
      return { ...command, parent: await findAny(command.parent) };
    case "squash":
      return { ...command, id: await find(command.id), parent: await findAny(command.parent) };
    case "cp":
      return {
        ...command,
        layer: { ...command.layer, id: await (command.direction === "in" ? findWritten : find)(command.layer.id) },
      };
    case "run":
      // The process that enters a layer has been told what it needs, and no store.
      return rootToEnter() === undefined ? { ...command, id: await find(command.id) } : command;
    case "diff":
    case "changes":
    case "size":
      return { ...command, id: await find(command.id), comparedWith: await findAny(command.comparedWith) };
    case "unmount":
      return "at" in command ? command : { ...command, id: await findWritten(command.id) };
    case "export":
    case "inspect":
      return { ...command, id: await find(command.id) };
    case "mount":
      return { ...command, ids: await findAll(command.ids, command.readOnly ? find : findWritten) };
    case "du":
    case "verify":
      return { ...command, ids: await findAll(command.ids, find) };
    case "remap":
      await requireWholeId("remap", command.id, await context.openDriver());
      return command;
    case "rm":
      if (context.settings.dockerRoot === undefined) return command;
      return { ...command, ids: await (await import("./docker_names.ts")).removableIds(command.ids, context) };
    default:
      return command;
  }
}

/** One after the other: the first that is wrong is told, always the same. */
async function findAll(words: readonly string[], find: (word: string) => Promise<string>): Promise<string[]> {
  const ids: string[] = [];
  for (const word of words) ids.push(await find(word));
  return ids;
}

/** Ids of dockerd and Podman: nobody numbers layers so, and takes one for another. */
function isMachineMade(id: string): boolean {
  return /^[0-9a-f]{64}/.test(id);
}

async function layerMeant(
  word: string,
  command: Command,
  context: Context,
  mayBeShortened: (id: string) => boolean = () => true,
): Promise<string> {
  const named = context.settings.dockerRoot === undefined
    ? word
    : await (await import("./docker_names.ts")).requireLayerId(word, context);
  if (named !== word || !isLayerId(word)) return named;
  const driver = await context.openDriver();
  if (await driver.exists(word)) return word;
  const { begun, hint } = await lookAround(word, driver);
  const [only] = begun;
  if (only === undefined) {
    // The command's own words say best what it would have needed the layer for.
    if (hint === undefined) return word;
    throw noSuchLayer(word, hint);
  }
  if (begun.length > 1) {
    throw new UsageError(`${begun.length} layers have ids that begin with ${JSON.stringify(word)}`, {
      command: command.kind,
      hint,
    });
  }
  if (!mayBeShortened(only)) throw noSuchLayer(word, `it has to be a whole id: ${hint}`);
  context.output.note(`${word} is ${only}`);
  return only;
}

/**
 * @param action What is to be done, for the message.
 * @throws {StorageError} `layer_not_found`, with whole ids that may be meant.
 */
export async function requireWholeId(action: string, id: string, driver: GraphDriver): Promise<void> {
  if (await driver.exists(id)) return;
  const { hint } = await lookAround(id, driver);
  throw layerNotFound(action, id, hint === undefined ? undefined : `it has to be a whole id: ${hint}`);
}

function noSuchLayer(word: string, hint: string): StorageError {
  return new StorageError("layer_not_found", `There is no layer ${JSON.stringify(word)}`, { hint });
}

const MOST_CANDIDATES = 5;

/** Layers whose ids begin with `word`, and what to write instead of it. */
async function lookAround(
  word: string,
  driver: GraphDriver,
): Promise<{ begun: readonly string[]; hint: string | undefined }> {
  const ids = (await listLayers(driver)).map(({ id }) => id);
  const begun = ids.filter((id) => id.startsWith(word));
  if (begun.length === 0) return { begun, hint: didYouMean(word, ids) };
  const named = begun.slice(0, MOST_CANDIDATES).map((id) => JSON.stringify(id)).join(", ");
  const more = begun.length - MOST_CANDIDATES;
  return { begun, hint: `did you mean ${named}${more > 0 ? ` or one of ${more} more` : ""}?` };
}

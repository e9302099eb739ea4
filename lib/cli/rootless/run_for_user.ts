// SPDX-License-Identifier: Apache-2.0

/**
 * Runs a command for an ordinary user: on the user's own store, and in a user namespace if it needs one.
 *
 * @module
 */

import type { Command, CommandLine, Settings } from "../command.ts";
import type { Output } from "../output.ts";
import { needsNamespace, needsStore } from "./ordinary_user.ts";
import { type Environment, placesAsEnvironment, withOwnPlaces } from "./own_places.ts";
import { programItself, runInside } from "./run_inside.ts";

/**
 * Runs a command line; the number to end with.
 *
 * @param args The command line as it was given, for the process in the namespace.
 * @param runHere Runs a command in this process.
 */
export async function runForUser(
  args: readonly string[],
  { command, settings }: CommandLine,
  env: Environment,
  output: Output,
  runHere: (command: Command, settings: Settings, output: Output) => Promise<number>,
): Promise<number> {
  if (!needsStore(command)) return await runHere(command, settings, output);
  const placed = withOwnPlaces(settings, Deno.uid()!, env);
  if (!needsNamespace(command)) return await runHere(command, placed, output);
  return await runInside(programItself(args), placesAsEnvironment(placed), output.logger);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina unshare`: runs a program that may mount layers.
 *
 * @module
 */

import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { placesAsEnvironment } from "../rootless/own_places.ts";
import { runInside } from "../rootless/run_inside.ts";

/** Runs the program, or the user's shell, with mounts of its own on the store that the settings name; what it ended with. */
export async function unshare(
  { program }: CommandOf<"unshare">,
  { settings, output }: Context,
): Promise<number> {
  const words = program.length > 0 ? program : [Deno.env.get("SHELL") || "/bin/sh"];
  return await runInside(words, placesAsEnvironment(settings), output.logger);
}

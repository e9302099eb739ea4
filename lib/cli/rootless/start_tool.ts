// SPDX-License-Identifier: Apache-2.0

/**
 * Starts the programs of util-linux that namespaces are made and entered with.
 *
 * @module
 */

import { StorageError } from "../../errors.ts";

/**
 * Starts a program and leaves it running.
 *
 * @throws {StorageError} `not_supported`: there is no such program.
 */
export function startTool(words: readonly string[], options: Deno.CommandOptions): Deno.ChildProcess {
  const [program, ...args] = words;
  try {
    return new Deno.Command(program!, { ...options, args }).spawn();
  } catch (cause) {
    throw new StorageError("not_supported", `Cannot run ${program}: ${(cause as Error).message}`, {
      cause,
      hint: "install util-linux: namespaces are made and entered by its programs unshare and nsenter",
    });
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * `--socket`: an agent does what the command says, on the store that it has.
 *
 * @module
 */

import type { CommandName } from "./usage.ts";
import { UsageError } from "./usage_error.ts";
import type { Words } from "./words.ts";

/** Options that say how a store is opened. */
const STORE_OPTIONS = ["root", "run-root", "home", "driver", "storage-opt", "mount-api", "sync"] as const;

/** @throws {UsageError} Beside an option of a store that the agent has opened already. */
export function readSocket(words: Words, command: CommandName | undefined): string | undefined {
  const socket = words.value("socket");
  const stray = socket === undefined || command === "serve"
    ? undefined
    : STORE_OPTIONS.find((name) => words.names(name));
  if (stray === undefined) return socket;
  throw new UsageError(`--socket and --${stray} exclude each other: the agent has opened its store`, { command });
}

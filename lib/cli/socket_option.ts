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

/** Commands whose mounts this process has to see itself. An agent's may be in another mount namespace. */
const WITHOUT_AGENT: readonly (CommandName | undefined)[] = ["run", "cp"];

/** @throws {UsageError} For a command that no agent does; beside an option of a store that the agent has opened already. */
export function readSocket(words: Words, command: CommandName | undefined): string | undefined {
  const socket = words.value("socket");
  if (socket !== undefined && WITHOUT_AGENT.includes(command)) {
    throw new UsageError(`"lamina ${command}" does not go by an agent: it works in the layer's mount itself`, {
      command,
      hint: "leave --socket out, as root; commands with and without it may work on one store at once",
    });
  }
  const stray = socket === undefined || command === "serve"
    ? undefined
    : STORE_OPTIONS.find((name) => words.names(name));
  if (stray === undefined) return socket;
  throw new UsageError(`--socket and --${stray} exclude each other: the agent has opened its store`, { command });
}

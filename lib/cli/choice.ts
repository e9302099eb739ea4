// SPDX-License-Identifier: Apache-2.0

/**
 * Words of which there are but a few.
 *
 * @module
 */

import type { CommandName } from "./usage.ts";
import { UsageError } from "./usage_error.ts";

/** `value` if it is one of `choices`; `what` is who takes them. */
export function chosen<T extends string>(
  value: string | undefined,
  choices: readonly T[],
  what: string,
  command: CommandName | undefined,
): T | undefined {
  if (value === undefined) return undefined;
  const choice = choices.find((candidate) => candidate === value);
  if (choice !== undefined) return choice;
  throw new UsageError(`${what} does not take ${JSON.stringify(value)}`, {
    command,
    hint: `it takes ${choices.join(", ")}`,
  });
}

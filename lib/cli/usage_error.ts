// SPDX-License-Identifier: Apache-2.0

/**
 * Words that are no command.
 *
 * @module
 */

import { levenshteinDistance } from "../deps.ts";
import type { CommandName } from "./usage.ts";

/** What goes with a message. */
export interface UsageErrorOptions {
  /** The command whose words are wrong, where it got that far. */
  command?: CommandName | undefined;
  /** What to write instead. */
  hint?: string | undefined;
}

/** A command line that cannot be understood. */
export class UsageError extends Error {
  /** The command whose usage is worth showing. */
  readonly command: CommandName | undefined;
  /** What to write instead. */
  readonly hint: string | undefined;

  constructor(message: string, options: UsageErrorOptions = {}) {
    super(message);
    this.name = "UsageError";
    this.command = options.command;
    this.hint = options.hint;
  }
}

/** `did you mean "mount"?`, if one of `candidates` is near enough to `word` to be a slip of the finger. */
export function didYouMean(word: string, candidates: readonly string[]): string | undefined {
  // Two letters exchanged are a distance of two.
  const tolerance = word.length < 4 ? 1 : 2;
  let best: string | undefined;
  let bestDistance = tolerance + 1;
  for (const candidate of candidates) {
    const distance = levenshteinDistance(word, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best === undefined ? undefined : `did you mean ${JSON.stringify(best)}?`;
}

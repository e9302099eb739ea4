// SPDX-License-Identifier: Apache-2.0

/** What {@linkcode parseArgs} is to know of the options. */
export interface ParseOptions {
  /** Names whose values stay text. `_` keeps the words that are no options text too: a layer may be called `0123`. */
  string: readonly ["_", ...string[]];
  /** Names that take no value. */
  boolean: readonly string[];
  /** Names that may be given several times. */
  collect: readonly string[];
}

/** Options by name, and the words that are none. */
export interface ParsedArgs {
  _: string[];
  [name: string]: string | boolean | string[] | undefined;
}

/** Splits the words of a command line. */
export function parseArgs(args: readonly string[], options: ParseOptions): ParsedArgs;

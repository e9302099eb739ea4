// SPDX-License-Identifier: Apache-2.0

/**
 * How a command and its options are described. The descriptions are in usage.ts.
 *
 * @module
 */

/** What a shell may offer for a word. */
export type Completion = "layer" | "file" | "directory" | "command" | "help" | readonly string[];

/** An option. One without `value` is a flag. */
export interface OptionSpec {
  /** Without the dashes. */
  name: string;
  /** One letter. */
  short?: string;
  /** What stands for the value in the help. */
  value?: string;
  /** It may be given several times, and all of them count. */
  repeatable?: true;
  help: string;
  completion?: Completion;
  /** The first screen of the help only names it. */
  isRare?: true;
}

/** A word that is no option. */
export interface WordSpec {
  name: string;
  optional?: true;
  repeatable?: true;
  completion?: Completion;
}

/** A command. */
export interface CommandSpec {
  group: "Layers" | "Mounts" | "Everyday" | "Queries" | "Other";
  /** What it does, in at most 48 letters. */
  summary: string;
  words: readonly WordSpec[];
  options: readonly OptionSpec[];
  /** One command line that works. */
  example: string;
  /** What else there is to know, in whole sentences. */
  notes?: string;
  /** The first screen of the help only names it. */
  isRare?: true;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The commands and options of lamina. The parser, the help and the shell completions are all made from these tables.
 *
 * @module
 */

import type { CommandSpec, OptionSpec } from "./command_spec.ts";
import { EVERYDAY_COMMANDS } from "./everyday_commands.ts";
import { GLOBAL_OPTIONS } from "./global_options.ts";
import { LAYER_COMMANDS } from "./layer_commands.ts";
import { OTHER_COMMANDS } from "./other_commands.ts";

export type { CommandSpec, Completion, OptionSpec, WordSpec } from "./command_spec.ts";
export * from "./global_options.ts";

/** Commands by name. */
export const COMMANDS = {
  ...LAYER_COMMANDS,
  ...EVERYDAY_COMMANDS,
  ...OTHER_COMMANDS,
} as const satisfies Readonly<Record<string, CommandSpec>>;

/** A word that names a command. */
export type CommandName = keyof typeof COMMANDS;

/** All of them, in the order of the help. */
export const COMMAND_NAMES = Object.keys(COMMANDS) as readonly CommandName[];

/** What the help tells beside the commands. */
export const HELP_TOPICS = ["options", "exit"] as const;

/** One of {@linkcode HELP_TOPICS}. */
export type HelpTopic = typeof HELP_TOPICS[number];

/** Whether `word` names a command. */
export function isCommandName(word: string): word is CommandName {
  return Object.hasOwn(COMMANDS, word);
}

/** The options of a command itself, and those of all commands. */
export function optionsOf(name: CommandName): readonly OptionSpec[] {
  return [...COMMANDS[name].options, ...GLOBAL_OPTIONS];
}

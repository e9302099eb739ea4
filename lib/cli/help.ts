// SPDX-License-Identifier: Apache-2.0

/**
 * The help, in 80 columns.
 *
 * @module
 */

import { EXIT, EXIT_MEANINGS } from "./exit_code.ts";
import {
  COMMAND_NAMES,
  type CommandName,
  COMMANDS,
  type CommandSpec,
  GLOBAL_OPTIONS,
  type OptionSpec,
  type WordSpec,
} from "./usage.ts";

const COLUMNS = 80;
const GLOBAL: readonly OptionSpec[] = GLOBAL_OPTIONS;
/** Those that are no particular failure. */
const FIRST_EXITS = [EXIT.ok, EXIT.failed, EXIT.usage] as const;

/** What `lamina --help` prints: one screen of 40 lines. */
export function generalHelp(): string {
  return [
    "lamina keeps file-system layers, mounts them, and moves them as tar archives.",
    "Usage: lamina [OPTION]... COMMAND [ARGUMENT]...",
    "",
    ...commandLines(),
    "",
    ...labelled("Options", GLOBAL.filter((option) => !option.isRare).map(optionLine)),
    ...wrap("         ", GLOBAL.filter((option) => option.isRare).map(({ name }) => `--${name}`), ", "),
    `Exit     ${FIRST_EXITS.map((number) => `${number} ${EXIT_MEANINGS[number]}`).join(", ")}, others say what failed`,
    "`lamina COMMAND --help`, `lamina help options` and `lamina help exit` tell more.",
    "",
  ].join("\n");
}

/** What `lamina help options` prints. */
export function optionsHelp(): string {
  return ["Options of all commands:", "", ...optionLines(GLOBAL), ""].join("\n");
}

/** What `lamina help exit` prints. */
export function exitHelp(): string {
  const lines = Object.entries(EXIT_MEANINGS).map(([number, meaning]) => `${number.padStart(5)}  ${meaning}`);
  return ["lamina ends with", "", ...lines, ""].join("\n");
}

/** What `lamina COMMAND --help` prints. */
export function commandHelp(name: CommandName): string {
  const { summary, options, example, notes }: CommandSpec = COMMANDS[name];
  return [
    `lamina ${name}: ${summary}.`,
    "",
    ...wrap("Usage: ", synopsisTerms(name), " "),
    "",
    ...(options.length === 0 ? [] : ["Options:", ...optionLines(options), ""]),
    `Example: ${example}`,
    "",
    ...(notes === undefined ? [] : [...wrap("", notes.split(" "), " "), ""]),
    "`lamina help options` lists the options of all commands.",
    "",
  ].join("\n");
}

/** The lines that go with a complaint about wrong words. */
export function shortUsage(name: CommandName | undefined): string {
  return name === undefined
    ? "usage: lamina [OPTION]... COMMAND [ARGUMENT]...\nTry `lamina --help`.\n"
    : `${wrap("usage: ", synopsisTerms(name), " ").join("\n")}\nTry \`lamina ${name} --help\`.\n`;
}

/** The parts of `lamina rm ID... [--force]`, between which a line may end. */
function synopsisTerms(name: CommandName): string[] {
  const { words, options }: CommandSpec = COMMANDS[name];
  return [["lamina", name, ...words.map(wordTerm)].join(" "), ...options.map(optionalTerm)];
}

function wordTerm({ name, optional, repeatable }: WordSpec): string {
  const term = optional ? `[${name}]` : name;
  return repeatable ? `${term}...` : term;
}

function optionTerm({ name, short, value }: OptionSpec): string {
  const long = value === undefined ? `--${name}` : `--${name} ${value}`;
  return short === undefined ? long : `-${short}, ${long}`;
}

function optionalTerm({ name, short, value, repeatable }: OptionSpec): string {
  const dashed = short === undefined ? `--${name}` : `-${short}`;
  const term = value === undefined ? `[${dashed}]` : `[${dashed} ${value}]`;
  return repeatable ? `${term}...` : term;
}

function optionLine(option: OptionSpec): string {
  return pair(optionTerm(option), option.help, 18);
}

function optionLines(options: readonly OptionSpec[]): string[] {
  const width = Math.max(...options.map((option) => optionTerm(option).length));
  return options.map((option) => `  ${pair(optionTerm(option), option.help, width)}`);
}

function commandLines(): string[] {
  const groups = new Set(COMMAND_NAMES.map((name) => COMMANDS[name].group));
  return [...groups].flatMap((group) => {
    const names = COMMAND_NAMES.filter((name) => COMMANDS[name].group === group);
    const lines = names.filter((name) => !isRare(name)).map((name) =>
      pair(commandTerm(name), COMMANDS[name].summary, 18)
    );
    const rare = names.filter(isRare).map(commandTerm);
    return [...labelled(group, lines), ...(rare.length === 0 ? [] : wrap("         ", rare, ", "))];
  });
}

function isRare(name: CommandName): boolean {
  const spec: CommandSpec = COMMANDS[name];
  return spec.isRare === true;
}

function commandTerm(name: CommandName): string {
  return [name, ...COMMANDS[name].words.map(wordTerm)].join(" ");
}

function pair(term: string, meaning: string, width: number): string {
  return `${term.padEnd(width)}  ${meaning}`;
}

function labelled(label: string, lines: readonly string[]): string[] {
  return lines.map((line, i) => `${(i === 0 ? label : "").padEnd(8)} ${line}`);
}

/** Items in lines of at most 80 columns, those after the first indented as far as `label` reaches. */
function wrap(label: string, items: readonly string[], separator: string): string[] {
  const lines: string[] = [];
  let line = label;
  for (const [i, item] of items.entries()) {
    const text = i === items.length - 1 ? item : `${item}${separator}`;
    if (line.length + text.trimEnd().length > COLUMNS) {
      lines.push(line.trimEnd());
      line = " ".repeat(label.length);
    }
    line += text;
  }
  return [...lines, line];
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Splits words into options and the rest, strictly: what the tables do not know is refused.
 *
 * `parseArgs` guesses where it is not told: `--label -x` would be an empty label and an option x, `--json true` would eat
 * a layer called `true`, `--parent ""` would lose its value. So each option is bound to its value before it gets there.
 *
 * @module
 */

import { parseArgs } from "../deps.ts";
import { type CommandName, COMMANDS, type OptionSpec } from "./usage.ts";
import { didYouMean, UsageError } from "./usage_error.ts";

/** What was given. */
export class Words {
  /** The words that are no options. */
  readonly rest: readonly string[];
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(rest: readonly string[], values: Readonly<Record<string, unknown>>) {
    this.rest = rest;
    this.#values = values;
  }

  /** Whether a flag was given. */
  has(name: string): boolean {
    return this.#values[name] === true;
  }

  /** Whether an option was given, with a value or without. */
  names(name: string): boolean {
    return this.has(name) || this.value(name) !== undefined || this.values(name).length > 0;
  }

  /** The value of an option that counts once; the last one given. */
  value(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === "string" ? value : undefined;
  }

  /** The values of an option that may be given several times. */
  values(name: string): readonly string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value : [];
  }

  /** These words and those that followed, which count more. */
  followedBy(later: Words): Words {
    const values: Record<string, unknown> = { ...this.#values };
    for (const [name, value] of Object.entries(later.#values)) {
      if (Array.isArray(value)) values[name] = [...this.values(name), ...value];
      else if (value !== false) values[name] = value;
    }
    return new Words([...this.rest, ...later.rest], values);
  }
}

/** Reads `args` by `options`; `command` is whose usage a complaint shows. */
export function parseWords(args: readonly string[], options: readonly OptionSpec[], command?: CommandName): Words {
  const { _: rest, ...values } = parseArgs(bindValues(args, options, command), {
    string: ["_", ...options.filter(({ value }) => value !== undefined).map(({ name }) => name)],
    boolean: options.filter(({ value }) => value === undefined).map(({ name }) => name),
    collect: options.filter(({ repeatable }) => repeatable).map(({ name }) => name),
  });
  return new Words(rest, values);
}

/** How many of `args` stand before the first word that is no option. */
export function countLeadingOptions(args: readonly string[], options: readonly OptionSpec[]): number {
  let i = 0;
  while (i < args.length && isOption(args[i]!)) i += readOption(args, i, options, undefined).count;
  return i;
}

function isOption(arg: string): boolean {
  return arg.startsWith("-") && arg !== "-" && arg !== "--";
}

/** `args` with every option in the one form that leaves nothing to guess: `--name=value`, for a flag `--name=true`. */
function bindValues(args: readonly string[], options: readonly OptionSpec[], command?: CommandName): string[] {
  const bound: string[] = [];
  for (let i = 0; i < args.length;) {
    const arg = args[i]!;
    if (arg === "--") return [...bound, ...args.slice(i)];
    if (isOption(arg)) {
      const { name, value, count } = readOption(args, i, options, command);
      bound.push(`--${name}=${value}`);
      i += count;
    } else {
      bound.push(arg);
      i++;
    }
  }
  return bound;
}

const LONG_OPTION_REGEXP = /^(--[^=]+)(?:=(.*))?$/s;
const SHORT_OPTION_REGEXP = /^(-.)(?:=?(.+))?$/su;

/** The option at `args[at]`: its name, its value, and how many words both take. */
function readOption(
  args: readonly string[],
  at: number,
  options: readonly OptionSpec[],
  command: CommandName | undefined,
): { name: string; value: string; count: number } {
  const arg = args[at]!;
  const [, dashed = arg, attached] = (arg.startsWith("--") ? LONG_OPTION_REGEXP : SHORT_OPTION_REGEXP).exec(arg) ?? [];
  const option = options.find(({ name, short }) => dashed === `--${name}` || dashed === `-${short}`);
  if (option === undefined) {
    const of = command === undefined ? "" : ` for "lamina ${command}"`;
    const isOfProgram = command !== undefined && COMMANDS[command].words.some(({ name }) => name === "CMD");
    throw new UsageError(`unknown option ${JSON.stringify(dashed)}${of}`, {
      command,
      hint: didYouMean(dashed, options.map(({ name }) => `--${name}`)) ??
        (isOfProgram ? "a program with options of its own stands behind --" : undefined),
    });
  }
  if (option.value === undefined) {
    if (attached === undefined) return { name: option.name, value: "true", count: 1 };
    throw new UsageError(`option ${dashed} takes no value`, { command });
  }
  if (attached !== undefined) return { name: option.name, value: attached, count: 1 };
  const next = args[at + 1];
  if (next === undefined || isOption(next) || next === "--") {
    throw new UsageError(`option ${dashed} needs a value: ${dashed} ${option.value}`, {
      command,
      hint: next === undefined ? undefined : `a value that begins with "-" is written ${dashed}=VALUE`,
    });
  }
  return { name: option.name, value: next, count: 2 };
}

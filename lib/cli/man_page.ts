// SPDX-License-Identifier: Apache-2.0

/**
 * Manual pages, in the macros of man(7), from the tables that the help is made from.
 *
 * @module
 */

import { VERSION } from "../version.ts";
import { ENVIRONMENT } from "./environment.ts";
import { EXIT_MEANINGS } from "./exit_code.ts";
import { JSON_ANSWERS, type JsonAnswer } from "./json_answers.ts";
import {
  COMMAND_NAMES,
  type CommandName,
  COMMANDS,
  type CommandSpec,
  GLOBAL_OPTIONS,
  type OptionSpec,
  type WordSpec,
} from "./usage.ts";

/** A page and the file in which it belongs. */
export interface ManPage {
  /** `lamina-mount.1` */
  file: string;
  text: string;
}

/** All pages there are. */
export function manPages(): ManPage[] {
  const commands = COMMAND_NAMES.map((name) => ({ file: `lamina-${name}.1`, text: commandPage(name) }));
  return [{ file: "lamina.1", text: mainPage() }, ...commands];
}

/** The page of lamina itself. */
export function mainPage(): string {
  const groups = new Set(COMMAND_NAMES.map((name) => COMMANDS[name].group));
  const commands = [...groups].flatMap((group) => [
    `.SS ${text(group)}`,
    ...COMMAND_NAMES.filter((name) => COMMANDS[name].group === group).flatMap((name) =>
      item(`${bold(`lamina-${name}`)}(1)`, text(`${COMMANDS[name].summary}.`))
    ),
  ]);
  return page("lamina", [
    ...section("NAME", text("lamina - keep file-system layers, mount them, and move them as tar archives")),
    ...section(
      "SYNOPSIS",
      `${bold("lamina")} [${italic("OPTION")}]... ${italic("COMMAND")} [${italic("ARGUMENT")}]...`,
    ),
    ...section(
      "DESCRIPTION",
      text(
        "lamina keeps file-system layers in a store, stacks them with overlayfs, mounts them, and takes them in and out as " +
          "tar archives. A store is that of Docker's driver overlay2, or of another driver that --driver names.",
      ),
      ".PP",
      text(
        "Where a command takes a layer that is there already, the beginning of its id will do, if no other layer's id " +
          "begins so. Commands by which something is written in a layer, mount without --read-only among them, take that " +
          "only of an id of 64 hexadecimal digits, as dockerd's are; those that remove or rewrite a layer take whole ids.",
      ),
    ),
    ...section("COMMANDS", ...commands),
    ...section("OPTIONS", text("They may stand before the command or after it."), ...optionItems(GLOBAL_OPTIONS)),
    ...section(
      "EXIT STATUS",
      ...Object.entries(EXIT_MEANINGS).flatMap(([number, meaning]) => item(bold(number), text(`${meaning}.`))),
    ),
    ...section("ENVIRONMENT", ...ENVIRONMENT.flatMap(([name, meaning]) => item(bold(name), text(meaning)))),
    ...section(
      "JSON",
      text(
        "With --json an answer is one JSON document on standard output. The page of each command lists its fields; later " +
          "versions may have more of them.",
      ),
    ),
  ]);
}

/** The page of a command. */
export function commandPage(name: CommandName): string {
  const { summary, words, options, example, notes }: CommandSpec = COMMANDS[name];
  const synopsis = [bold(`lamina ${name}`), ...words.map(wordTerm), ...options.map(optionalTerm)].join(" ");
  const answer = JSON_ANSWERS[name];
  return page(`lamina-${name}`, [
    ...section("NAME", text(`lamina-${name} - ${summary}`)),
    ...section("SYNOPSIS", synopsis),
    ...section("DESCRIPTION", text(sentence(summary)), ...(notes === undefined ? [] : [".PP", text(notes)])),
    ...(options.length === 0 ? [] : section("OPTIONS", ...optionItems(options))),
    ...(answer === undefined ? [] : section("JSON", ...answerItems(answer))),
    ...section("EXAMPLES", ".EX", text(example), ".EE"),
    ...section("SEE ALSO", text("lamina(1), which has the options of all commands and the exit numbers.")),
  ]);
}

function answerItems({ isList, fields, note }: JsonAnswer): string[] {
  const kind = isList ? "a list of objects, each with these fields" : "an object with these fields";
  return [
    text(`With --json the answer is ${kind}; those in brackets are not always there. ${note ?? ""}`.trimEnd()),
    ...fields.flatMap(([name, meaning]) =>
      item(name.endsWith("?") ? `[${bold(name.slice(0, -1))}]` : bold(name), text(`${sentence(meaning)}`))
    ),
  ];
}

function page(title: string, lines: readonly string[]): string {
  // No date: the same version makes the same page.
  const head = [`.\\" Made by lamina man.`, `.TH ${text(title.toUpperCase())} 1 "" "lamina ${text(VERSION)}" lamina`];
  return [...head, ...lines, ""].join("\n");
}

function section(title: string, ...lines: string[]): string[] {
  return [`.SH ${title}`, ...lines];
}

function item(term: string, meaning: string): string[] {
  return [".TP", term, meaning];
}

function optionItems(options: readonly OptionSpec[]): string[] {
  return options.flatMap(({ name, short, value, repeatable, help }) => {
    const names = short === undefined ? bold(`--${name}`) : `${bold(`-${short}`)}, ${bold(`--${name}`)}`;
    const term = value === undefined ? names : `${names} ${italic(value)}`;
    return item(term, text(sentence(help) + (repeatable ? " May be given several times." : "")));
  });
}

function wordTerm({ name, optional, repeatable }: WordSpec): string {
  const term = optional ? `[${italic(name)}]` : italic(name);
  return repeatable ? `${term}...` : term;
}

function optionalTerm({ name, short, value, repeatable }: OptionSpec): string {
  const dashed = bold(short === undefined ? `--${name}` : `-${short}`);
  const term = value === undefined ? `[${dashed}]` : `[${dashed} ${italic(value)}]`;
  return repeatable ? `${term}...` : term;
}

function sentence(words: string): string {
  return `${words.slice(0, 1).toUpperCase()}${words.slice(1)}.`;
}

function bold(words: string): string {
  return `\\fB${escaped(words)}\\fR`;
}

function italic(words: string): string {
  return `\\fI${escaped(words)}\\fR`;
}

/** A line of running text. */
function text(words: string): string {
  // At the beginning of a line these two would be the mark of a request.
  return escaped(words).replace(/^[.']/, "\\&$&");
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\e",
  "-": "\\-",
  "'": "\\(aq",
  '"': "\\(dq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
};

/** `words` as they are to be read, and copied: roff takes a dash for a hyphen, and sets quotes. */
function escaped(words: string): string {
  return words.replace(
    /[\\\-'"`^~]|[^\n -~]/gu,
    (letter) => ESCAPES[letter] ?? `\\[u${letter.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}]`,
  );
}

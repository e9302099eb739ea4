// SPDX-License-Identifier: Apache-2.0

/**
 * Completion for zsh.
 *
 * @module
 */

import {
  COMMAND_NAMES,
  type CommandName,
  COMMANDS,
  type CommandSpec,
  type Completion,
  GLOBAL_OPTIONS,
  HELP_TOPICS,
  type OptionSpec,
  type WordSpec,
} from "../usage.ts";
import { STORE_OPTIONS } from "./store_options.ts";

/** The script. Layer ids come from the store that the options on the line name. */
export function zshCompletion(): string {
  return `#compdef lamina
# lamina completion for zsh: put it into a directory of $fpath as _lamina

_lamina_layers() {
  local -a layers store
  local -i i
  for ((i = 2; i < $#lamina_line; i++)); do
    case $lamina_line[i] in
      ${STORE_OPTIONS.join(" | ")}) store+=($lamina_line[i,i+1]) ;;
      ${STORE_OPTIONS.map((name) => `${name}=*`).join(" | ")}) store+=($lamina_line[i]) ;;
    esac
  done
  layers=(\${(f)"$(lamina $store ls 2>/dev/null)"})
  compadd -a layers
}

_lamina_commands() {
  local -a commands
  commands=(
${COMMAND_NAMES.map((name) => `    ${quote(`${name}:${COMMANDS[name].summary}`)}`).join("\n")}
  )
  _describe command commands
}

_lamina() {
  local curcontext=$curcontext state line
  local -a global
  # What follows cuts the words that belong to the command out of it.
  local -a lamina_line=("\${words[@]}")
  global=(
${GLOBAL_OPTIONS.flatMap(optionSpecs).map((spec) => `    ${spec}`).join("\n")}
  )
  _arguments -C $global '(-)1:command:_lamina_commands' '(-)*::argument:->arguments'
  [[ $state == arguments ]] || return
  case $words[1] in
${COMMAND_NAMES.map(commandCase).join("\n")}
  esac
}

if [[ $funcstack[1] == _lamina ]]; then _lamina "$@"; else compdef _lamina lamina; fi
`;
}

function commandCase(name: CommandName): string {
  const { words, options }: CommandSpec = COMMANDS[name];
  const specs = [...options.flatMap(optionSpecs), ...words.map(wordSpec), "$global"];
  return `    ${name}) _arguments ${specs.join(" ")} ;;`;
}

function optionSpecs({ name, short, value, repeatable, help, completion }: OptionSpec): string[] {
  const meaning = help.replace(/[[\]\\:]/g, "\\$&");
  const names = short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`];
  return names.map((dashed) => {
    const several = repeatable ? "*" : "";
    if (value === undefined) return quote(`${several}${dashed}[${meaning}]`);
    // "=" lets the value be attached to a long option, "+" to a short one.
    const binding = dashed.startsWith("--") ? "=" : "+";
    return quote(`${several}${dashed}${binding}[${meaning}]:${value.replaceAll(":", "\\:")}:${action(completion)}`);
  });
}

function wordSpec({ name, optional, repeatable, completion }: WordSpec): string {
  return quote(`${repeatable ? "*" : ""}${optional ? "::" : ":"}${name}:${action(completion)}`);
}

function action(completion: Completion | undefined): string {
  if (completion === undefined) return " ";
  if (completion === "layer") return "_lamina_layers";
  if (completion === "file") return "_files";
  if (completion === "directory") return "_files -/";
  if (completion === "command") return "_lamina_commands";
  // Commands with what they do, and the topics beside them.
  if (completion === "help") return `{_lamina_commands; compadd ${HELP_TOPICS.join(" ")}}`;
  return `(${completion.join(" ")})`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

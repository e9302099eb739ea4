// SPDX-License-Identifier: Apache-2.0

/**
 * Completion for fish.
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
} from "../usage.ts";
import { STORE_OPTIONS } from "./store_options.ts";

/** The script. Layer ids come from the store that the options on the line name. */
export function fishCompletion(): string {
  return `# lamina completion for fish: put it into ~/.config/fish/completions/lamina.fish
function __lamina_layers
    set -l words (commandline -opc)
    set -l store
    while set -q words[1]
        switch $words[1]
            case ${STORE_OPTIONS.join(" ")}
                set -a store $words[1..2]
            case ${STORE_OPTIONS.map((name) => `'${name}=*'`).join(" ")}
                set -a store $words[1]
        end
        set -e words[1]
    end
    lamina $store ls 2>/dev/null
end

# The command on the line, which may follow options with values.
function __lamina_command
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case ${GLOBAL_OPTIONS.filter(hasValue).map(({ name }) => `--${name}`).join(" ")}
                set -e words[1]
            case '-*'
            case '*'
                echo $words[1]
                return
        end
        set -e words[1]
    end
    return 1
end

function __lamina_is
    string match -q -- $argv[1] (__lamina_command)
end

function __lamina_is_nothing
    not __lamina_command >/dev/null
end

complete -c lamina -f
${GLOBAL_OPTIONS.map((option) => optionLine(option, "")).join("\n")}
${COMMAND_NAMES.map(commandLine).join("\n")}
${COMMAND_NAMES.flatMap(detailLines).join("\n")}
`;
}

function commandLine(name: CommandName): string {
  return `complete -c lamina -n __lamina_is_nothing -a ${name} -d ${quote(COMMANDS[name].summary)}`;
}

function detailLines(name: CommandName): string[] {
  const { words, options }: CommandSpec = COMMANDS[name];
  const condition = ` -n '__lamina_is ${name}'`;
  const wordLines = words.flatMap(({ completion }) => {
    const offered = offer(completion);
    return offered === "" ? [] : [`complete -c lamina${condition}${offered}`];
  });
  return [...options.map((option) => optionLine(option, condition)), ...wordLines];
}

function optionLine({ name, short, value, help, completion }: OptionSpec, condition: string): string {
  const letter = short === undefined ? "" : ` -s ${short}`;
  const argument = value === undefined ? "" : ` ${completion === "file" ? "-r" : "-x"}${offer(completion)}`;
  return `complete -c lamina${condition} -l ${name}${letter}${argument} -d ${quote(help)}`;
}

function hasValue({ value }: OptionSpec): boolean {
  return value !== undefined;
}

function offer(completion: Completion | undefined): string {
  if (completion === undefined) return "";
  if (completion === "layer") return " -a '(__lamina_layers)'";
  if (completion === "file") return " -F";
  if (completion === "directory") return " -a '(__fish_complete_directories)'";
  if (completion === "command") return ` -a '${COMMAND_NAMES.join(" ")}'`;
  return ` -a '${(completion === "help" ? [...COMMAND_NAMES, ...HELP_TOPICS] : completion).join(" ")}'`;
}

function quote(text: string): string {
  return `'${text.replace(/['\\]/g, "\\$&")}'`;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Completion for bash.
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
  optionsOf,
  type OptionSpec,
} from "../usage.ts";
import { STORE_OPTIONS } from "./store_options.ts";

/** The script. Layer ids come from the store that the options on the line name. */
export function bashCompletion(): string {
  return `# lamina completion for bash: put it into /etc/bash_completion.d, or source it
_lamina_offer() { mapfile -t COMPREPLY < <(compgen "$@" -- "\${COMP_WORDS[COMP_CWORD]}"); }
_lamina_offer_files() { compopt -o filenames 2>/dev/null; _lamina_offer "$1"; }
_lamina_offer_layers() { _lamina_offer -W "$("\${COMP_WORDS[0]}" "\${store[@]}" ls 2>/dev/null)"; }

_lamina() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} command= count=0 i
  local global="${dashed(GLOBAL_OPTIONS).join(" ")}"
  local -a store=()
  COMPREPLY=()
  # bash splits --parent=ID into three.
  [[ $previous == = ]] && previous=\${COMP_WORDS[COMP_CWORD - 2]}
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      ${STORE_OPTIONS.join(" | ")})
        store+=("\${COMP_WORDS[i]}")
        [[ \${COMP_WORDS[i + 1]} == = ]] && ((++i))
        store+=("\${COMP_WORDS[++i]}")
        ;;
      ${otherValueOptions().join(" | ")})
        [[ \${COMP_WORDS[i + 1]} == = ]] && ((++i))
        ((++i))
        ;;
      -*) ;;
      *) if [[ -z $command ]]; then command=\${COMP_WORDS[i]}; else ((++count)); fi ;;
    esac
  done
  case "$command $previous" in
${valueCases().join("\n")}
  esac
  if [[ $current == -* ]]; then
    case $command in
${COMMAND_NAMES.flatMap(optionCases).join("\n")}
      *) _lamina_offer -W "$global" ;;
    esac
    return
  fi
  case "$command $count" in
    " 0") _lamina_offer -W "${COMMAND_NAMES.join(" ")}" ;;
${COMMAND_NAMES.flatMap(wordCases).join("\n")}
  esac
}

complete -F _lamina lamina
`;
}

function names({ name, short }: OptionSpec): string[] {
  return short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`];
}

function dashed(options: readonly OptionSpec[]): string[] {
  return options.flatMap(names);
}

function withValue(options: readonly OptionSpec[]): OptionSpec[] {
  return options.filter(({ value }) => value !== undefined);
}

function otherValueOptions(): string[] {
  const all = new Set(COMMAND_NAMES.flatMap((name) => dashed(withValue(optionsOf(name)))));
  return [...all].filter((name) => !STORE_OPTIONS.some((option) => option === name));
}

function optionCases(command: CommandName): string[] {
  const own = dashed(COMMANDS[command].options);
  return own.length === 0 ? [] : [`      ${command}) _lamina_offer -W "${own.join(" ")} $global" ;;`];
}

function valueCases(): string[] {
  const cases = withValue(GLOBAL_OPTIONS).map((option) =>
    valueCase(names(option).map((name) => `*" ${name}"`), option)
  );
  for (const command of COMMAND_NAMES) {
    for (const option of withValue(COMMANDS[command].options)) {
      cases.push(valueCase(names(option).map((name) => `"${command} ${name}"`), option));
    }
  }
  return cases;
}

function valueCase(patterns: readonly string[], { completion }: OptionSpec): string {
  const statements = [...offer(completion), "return"].join("; ");
  return `    ${patterns.join(" | ")}) ${statements} ;;`;
}

function wordCases(command: CommandName): string[] {
  const { words }: CommandSpec = COMMANDS[command];
  return words.flatMap(({ completion, repeatable }, i) => {
    const pattern = repeatable ? `"${command} "*` : `"${command} ${i}"`;
    return offer(completion).map((statement) => `    ${pattern}) ${statement} ;;`);
  });
}

/** The statement that offers what fits, if anything does. */
function offer(completion: Completion | undefined): string[] {
  if (completion === undefined) return [];
  if (completion === "layer") return ["_lamina_offer_layers"];
  if (completion === "file") return ["_lamina_offer_files -f"];
  if (completion === "directory") return ["_lamina_offer_files -d"];
  if (completion === "command") return [`_lamina_offer -W "${COMMAND_NAMES.join(" ")}"`];
  if (completion === "help") return [`_lamina_offer -W "${[...COMMAND_NAMES, ...HELP_TOPICS].join(" ")}"`];
  return [`_lamina_offer -W "${completion.join(" ")}"`];
}

// SPDX-License-Identifier: Apache-2.0

/**
 * From the words of a command line to one of a closed set of commands, without looking at anything but the words.
 *
 * @module
 */

import type { DriverName } from "../drivers/registry.ts";
import { chosen } from "./choice.ts";
import type { Command, CommandLine, Settings } from "./command.ts";
import { readCommand } from "./read_command.ts";
import { readSocket } from "./socket_option.ts";
import {
  COMMAND_NAMES,
  type CommandName,
  COMMANDS,
  type CommandSpec,
  DRIVER_CHOICES,
  GLOBAL_OPTIONS,
  isCommandName,
  MOUNT_API_CHOICES,
  optionsOf,
  SYNC_CHOICES,
} from "./usage.ts";
import { didYouMean, UsageError } from "./usage_error.ts";
import { countLeadingOptions, parseWords, type Words } from "./words.ts";

/**
 * Reads a command line.
 *
 * @param env Looks up an environment variable.
 * @throws {UsageError} With what is wrong, and whose usage to show.
 */
export function parseCommandLine(args: readonly string[], env: (name: string) => string | undefined): CommandLine {
  const at = countLeadingOptions(args, GLOBAL_OPTIONS);
  const before = parseWords(args.slice(0, at), GLOBAL_OPTIONS);
  const word = args[at];
  if (word === undefined || word === "--") {
    const command = commandWithoutWord(before);
    return { command, settings: readSettings(before, env, undefined) };
  }
  if (!isCommandName(word)) {
    throw new UsageError(`unknown command ${JSON.stringify(word)}`, { hint: didYouMean(word, COMMAND_NAMES) });
  }
  const words = before.followedBy(parseWords(args.slice(at + 1), optionsOf(word), word));
  const settings = readSettings(words, env, word);
  if (words.has("help")) return { command: { kind: "help", about: word }, settings };
  if (words.has("version")) return { command: { kind: "version" }, settings };
  checkWordCount(words.rest, word);
  return { command: readCommand(word, words), settings };
}

function commandWithoutWord(words: Words): Command {
  if (words.has("help")) return { kind: "help", about: undefined };
  if (words.has("version")) return { kind: "version" };
  throw new UsageError("there is no command");
}

function checkWordCount(rest: readonly string[], name: CommandName): void {
  const { words }: CommandSpec = COMMANDS[name];
  const missing = words.slice(rest.length).find(({ optional }) => !optional);
  if (missing !== undefined) throw new UsageError(`"lamina ${name}" needs ${missing.name}`, { command: name });
  const surplus = rest[words.length];
  if (surplus !== undefined && !words.at(-1)?.repeatable) {
    throw new UsageError(`unexpected word ${JSON.stringify(surplus)} for "lamina ${name}"`, { command: name });
  }
}

function readSettings(
  words: Words,
  env: (name: string) => string | undefined,
  command: CommandName | undefined,
): Settings {
  const driver = words.value("driver") ?? (env("LAMINA_DRIVER") || undefined);
  const root = words.value("root");
  const home = words.value("home");
  const dockerRoot = words.value("docker-root");
  if (root !== undefined && home !== undefined) {
    throw new UsageError("--root and --home exclude each other: a home is one driver's directory below a root", {
      command,
    });
  }
  return {
    root: root ?? (home === undefined ? dockerRoot ?? (env("LAMINA_ROOT") || undefined) : undefined),
    runRoot: words.value("run-root") ?? (env("LAMINA_RUN_ROOT") || undefined),
    home,
    socket: readSocket(words, command),
    driver: chosen(driver, DRIVER_CHOICES, "--driver", command) as DriverName | undefined,
    dockerRoot,
    storageOptions: words.values("storage-opt"),
    mountApi: chosen(words.value("mount-api"), MOUNT_API_CHOICES, "--mount-api", command),
    sync: chosen(words.value("sync"), SYNC_CHOICES, "--sync", command),
    json: words.has("json"),
    quiet: words.has("quiet"),
    verbose: words.has("verbose"),
  };
}

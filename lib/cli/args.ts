// SPDX-License-Identifier: Apache-2.0

/**
 * From the words of a command line to one of a closed set of commands, without looking at anything but the words.
 *
 * @module
 */

import type { ApplyOptions, XattrNamespace } from "../drivers/driver.ts";
import type { DriverName } from "../drivers/registry.ts";
import { StorageError } from "../errors.ts";
import { parseSize } from "../units.ts";
import { readLimits, readXattrNamespaces, readXattrPolicies } from "./archive_options.ts";
import { type IdMapWords, readIdMaps } from "./id_map_options.ts";
import { readSocket } from "./socket_option.ts";
import { readServeOptions, type ServeOptions } from "./serve_options.ts";
import {
  COMMAND_NAMES,
  type CommandName,
  COMMANDS,
  type CommandSpec,
  COMPRESSIONS,
  DRIVER_CHOICES,
  GLOBAL_OPTIONS,
  HELP_TOPICS,
  type HelpTopic,
  isCommandName,
  MOUNT_API_CHOICES,
  optionsOf,
  SHELLS,
  SYNC_CHOICES,
  TIMES,
} from "./usage.ts";
import { didYouMean, UsageError } from "./usage_error.ts";
import { countLeadingOptions, parseWords, type Words } from "./words.ts";

/** What holds for every command. */
export interface Settings {
  root: string | undefined;
  runRoot: string | undefined;
  home: string | undefined;
  socket: string | undefined;
  driver: DriverName | undefined;
  /** Where dockerd keeps its books; names of images and containers stand for layers then. */
  dockerRoot: string | undefined;
  storageOptions: readonly string[];
  mountApi: typeof MOUNT_API_CHOICES[number] | undefined;
  sync: typeof SYNC_CHOICES[number] | undefined;
  json: boolean;
  quiet: boolean;
  verbose: boolean;
}

/** With what a layer is compared, and how closely. */
interface Comparison {
  id: string;
  comparedWith: string | null | undefined;
  compareXattrs: boolean;
  compareContent: boolean;
  idMaps: IdMapWords | undefined;
}

/** What is to be done. In a `comparedWith`, undefined is the layer's own parent and null is nothing at all. */
export type Command =
  | {
    kind: "create";
    id: string;
    parent: string | undefined;
    readWrite: boolean;
    template: string | undefined;
    size: string | undefined;
    idMaps: IdMapWords | undefined;
  }
  | {
    kind: "apply";
    id: string;
    file: string;
    parent: string | undefined;
    allowMissingEnd: boolean;
    digest: boolean;
    manifest: boolean;
    xattrs: NonNullable<ApplyOptions["xattrs"]>;
    limits: NonNullable<ApplyOptions["limits"]>;
  }
  | {
    kind: "diff";
    id: string;
    comparedWith: string | null | undefined;
    output: string;
    compression: typeof COMPRESSIONS[number] | undefined;
    times: typeof TIMES[number] | undefined;
    xattrs: readonly XattrNamespace[] | undefined;
    compareContent: boolean;
    skipErrors: boolean;
    digest: boolean;
    idMaps: IdMapWords | undefined;
  }
  | { kind: "remap"; id: string; from: IdMapWords | undefined; to: IdMapWords | undefined }
  | { kind: "rm"; ids: readonly string[]; force: boolean }
  | {
    kind: "mount";
    /** One, unless they are joined at a place. */
    ids: readonly string[];
    at: string | undefined;
    readOnly: boolean;
    label: string | undefined;
    options: readonly string[];
    idMaps: IdMapWords | undefined;
  }
  | { kind: "unmount"; id: string; force: boolean }
  | { kind: "unmount"; at: string }
  | { kind: "changes" } & Comparison
  | { kind: "size" } & Comparison
  | { kind: "inspect"; id: string }
  | { kind: "verify"; ids: readonly string[]; record: boolean }
  | { kind: "check"; repair: boolean; deep: boolean }
  | { kind: "exists"; id: string }
  | { kind: "mounts" | "cleanup" | "ls" | "tree" | "info" | "version" }
  | { kind: "unshare"; program: readonly string[] }
  | { kind: "serve" } & ServeOptions
  | { kind: "completions"; shell: typeof SHELLS[number] }
  | { kind: "help"; about: CommandName | HelpTopic | undefined };

/** The command of one kind. */
export type CommandOf<Kind extends CommandName> = Extract<Command, { kind: Kind }>;

/** What a command line says. */
export interface CommandLine {
  command: Command;
  settings: Settings;
}

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
  return { command: read(word, words), settings };
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

/** `value` if it is one of `choices`; `what` is who takes them. */
function chosen<T extends string>(
  value: string | undefined,
  choices: readonly T[],
  what: string,
  command: CommandName | undefined,
): T | undefined {
  if (value === undefined) return undefined;
  const choice = choices.find((candidate) => candidate === value);
  if (choice !== undefined) return choice;
  throw new UsageError(`${what} does not take ${JSON.stringify(value)}`, {
    command,
    hint: `it takes ${choices.join(", ")}`,
  });
}

function read(name: CommandName, words: Words): Command {
  const id = words.rest[0] ?? "";
  switch (name) {
    case "create":
      return readCreate(id, words);
    case "apply":
      return {
        kind: name,
        id,
        file: words.rest[1] ?? "-",
        parent: words.value("parent") || undefined,
        allowMissingEnd: words.has("allow-missing-end"),
        digest: words.has("digest"),
        manifest: words.has("manifest"),
        xattrs: readXattrPolicies(words.values("xattrs")),
        limits: readLimits(words.values("limit")),
      };
    case "diff":
      return readDiff(id, words);
    case "remap":
      return readRemap(id, words);
    case "rm":
      return { kind: name, ids: words.rest, force: words.has("force") };
    case "mount":
      return {
        kind: name,
        ids: words.rest,
        at: readPlace(words),
        readOnly: words.has("read-only"),
        label: words.value("label"),
        options: words.values("option"),
        idMaps: readIdMaps(words, name),
      };
    case "unmount":
      return readUnmount(words);
    case "changes":
    case "size":
      return {
        kind: name,
        id,
        comparedWith: comparedWith(words),
        compareXattrs: words.has("xattrs"),
        compareContent: words.has("content"),
        idMaps: readIdMaps(words, name),
      };
    case "inspect":
    case "exists":
      return { kind: name, id };
    case "verify":
      return { kind: name, ids: words.rest, record: words.has("record") };
    case "check":
      return { kind: name, repair: words.has("repair"), deep: words.has("deep") };
    case "unshare":
      return { kind: name, program: words.rest };
    case "serve":
      return { kind: name, ...readServeOptions(words) };
    case "completions":
      return { kind: name, shell: chosen(words.rest[0], SHELLS, '"lamina completions"', name)! };
    case "help":
      return { kind: name, about: readHelpTopic(words.rest[0]) };
    case "mounts":
    case "cleanup":
    case "ls":
    case "tree":
    case "info":
    case "version":
      return { kind: name };
  }
}

function readCreate(id: string, words: Words): Command {
  const template = words.value("template");
  const parent = words.value("parent") || undefined;
  if (template !== undefined && parent !== undefined) {
    throw new UsageError("--template and --parent exclude each other: the copy has the template's parent", {
      command: "create",
    });
  }
  if (template !== undefined && words.has("read-write")) {
    throw new UsageError("--template and --read-write exclude each other", { command: "create" });
  }
  const size = words.value("size");
  if (size !== undefined) wordsOf("--size", () => parseSize(size), "create");
  return {
    kind: "create",
    id,
    parent,
    readWrite: words.has("read-write"),
    template,
    size,
    idMaps: readIdMaps(words, "create"),
  };
}

/** Where layers are to be shown; undefined for the layer's own place. */
function readPlace(words: Words): string | undefined {
  const at = words.value("at");
  if (at === undefined && words.rest.length > 1) {
    throw new UsageError("several layers need --at: they are joined at a place of your choice", {
      command: "mount",
      hint: "to mount each at its own place, call mount for each",
    });
  }
  if (at !== undefined && readIdMaps(words, "mount") !== undefined) {
    throw new UsageError("--at and id maps exclude each other: a view has the owners of the layer's own mount", {
      command: "mount",
      hint: "mount the layer with the maps first, and then --at DIR",
    });
  }
  return at;
}

function readUnmount(words: Words): Command {
  const [id] = words.rest;
  const at = words.value("at");
  const force = words.has("force");
  if (at === undefined) {
    if (id !== undefined) return { kind: "unmount", id, force };
    throw new UsageError('"lamina unmount" needs ID, or --at DIR', { command: "unmount" });
  }
  if (id === undefined && !force) return { kind: "unmount", at };
  const other = id === undefined ? "--force" : "ID";
  throw new UsageError(`${other} and --at exclude each other: a view is taken down by its place alone`, {
    command: "unmount",
  });
}

function readRemap(id: string, words: Words): Command {
  const [from, to] = [readIdMaps(words, "remap", "from-"), readIdMaps(words, "remap")];
  if (from === undefined && to === undefined) {
    throw new UsageError('"lamina remap" needs --uid-map, --gid-map, --map-user or one that begins with --from-', {
      command: "remap",
      hint: "--uid-map 0:100000:65536 gives the container's root the id 100000 on the host",
    });
  }
  return { kind: "remap", id, from, to };
}

/** What `parse` returns; where the library finds the value wrong, the command line is. */
function wordsOf<T>(option: string, parse: () => T, command: CommandName): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    throw new UsageError(`option ${option}: ${error.message}`, { command, hint: error.hint });
  }
}

function readDiff(id: string, words: Words): Command {
  const output = words.value("output") ?? "-";
  if (output === "-" && words.has("json")) {
    throw new UsageError("--json needs -o FILE: standard output holds the archive", { command: "diff" });
  }
  const compression = chosen(words.value("compress"), COMPRESSIONS, "--compress", "diff");
  return {
    kind: "diff",
    id,
    comparedWith: comparedWith(words),
    output,
    compression,
    times: chosen(words.value("times"), TIMES, "--times", "diff"),
    xattrs: readXattrNamespaces(words.value("xattrs")),
    compareContent: words.has("content"),
    skipErrors: words.has("skip-errors"),
    digest: words.has("digest"),
    idMaps: readIdMaps(words, "diff"),
  };
}

function comparedWith(words: Words): string | null | undefined {
  const parent = words.value("parent");
  return parent === "" ? null : parent;
}

function readHelpTopic(word: string | undefined): CommandName | HelpTopic | undefined {
  if (word === undefined || isCommandName(word)) return word;
  const topic = HELP_TOPICS.find((name) => name === word);
  if (topic !== undefined) return topic;
  const hint = didYouMean(word, [...COMMAND_NAMES, ...HELP_TOPICS]);
  throw new UsageError(`unknown command ${JSON.stringify(word)}`, { hint });
}

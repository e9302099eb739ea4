// SPDX-License-Identifier: Apache-2.0

/**
 * What the words after the name of a command mean to it.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { parseSize } from "../units.ts";
import { readLimits, readXattrNamespaces, readXattrPolicies } from "./archive_options.ts";
import { chosen } from "./choice.ts";
import type { Command, Comparison } from "./command.ts";
import { readCopyPlaces } from "./copy_place.ts";
import { readIdMaps } from "./id_map_options.ts";
import { readServeOptions } from "./serve_options.ts";
import {
  COMMAND_NAMES,
  type CommandName,
  COMPRESSIONS,
  HELP_TOPICS,
  type HelpTopic,
  isCommandName,
  SHELLS,
  TIMES,
} from "./usage.ts";
import { didYouMean, UsageError } from "./usage_error.ts";
import type { Words } from "./words.ts";

/**
 * Reads the words of the command `name`, of which there are as many as it takes.
 *
 * @throws {UsageError} With what is wrong.
 */
export function readCommand(name: CommandName, words: Words): Command {
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
        limits: readLimits(words.values("limit"), name),
      };
    case "diff":
      return readDiff(id, words);
    case "export":
      return {
        kind: name,
        id,
        output: readOutput(words, name),
        compression: chosen(words.value("compress"), COMPRESSIONS, "--compress", name),
        times: chosen(words.value("times"), TIMES, "--times", name),
        digest: words.has("digest"),
      };
    case "import":
      return {
        kind: name,
        id,
        file: words.rest[1]!,
        parent: words.value("parent") || undefined,
        digest: words.has("digest"),
        manifest: words.has("manifest"),
        limits: readLimits(words.values("limit"), name),
      };
    case "run":
      return readRun(words);
    case "cp":
      return { kind: name, ...readCopyPlaces(words) };
    case "squash":
      return { kind: name, id, newId: words.rest[1]!, parent: words.value("parent") || undefined };
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
      return { kind: name, ...readComparison(id, words, name), tree: words.has("tree") };
    case "size":
      return { kind: name, ...readComparison(id, words, name) };
    case "inspect":
    case "exists":
      return { kind: name, id };
    case "tree":
      return { kind: name, sizes: words.has("size") };
    case "du":
      return { kind: name, ids: words.rest };
    case "verify":
      return { kind: name, ids: words.rest, record: words.has("record") };
    case "check":
      return { kind: name, repair: words.has("repair"), deep: words.has("deep") };
    case "unshare":
      return { kind: name, program: words.rest };
    case "serve":
      return { kind: name, ...readServeOptions(words) };
    case "man":
      return readMan(words);
    case "completions":
      return { kind: name, shell: chosen(words.rest[0], SHELLS, '"lamina completions"', name)! };
    case "help":
      return { kind: name, about: readHelpTopic(words.rest[0]) };
    case "mounts":
    case "cleanup":
    case "ls":
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

function readRun(words: Words): Command {
  const [id, ...program] = words.rest;
  const commit = words.value("commit");
  const given = ["rm", "commit", "read-only"].filter((name) => words.names(name));
  if (given.length > 1) {
    throw new UsageError(`${given.map((name) => `--${name}`).join(" and ")} exclude each other`, { command: "run" });
  }
  return {
    kind: "run",
    id: id!,
    program,
    remove: words.has("rm"),
    commit,
    readOnly: words.has("read-only"),
    label: words.value("label"),
    options: words.values("option"),
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

/** Those of an archive that is written. */
const ARCHIVE_OPTIONS = ["output", "compress", "times", "xattrs", "skip-errors", "digest"] as const;

/** Where an archive goes: a file, or `-`. */
function readOutput(words: Words, command: CommandName): string {
  const output = words.value("output") ?? "-";
  if (output !== "-" || !words.has("json")) return output;
  throw new UsageError("--json needs -o FILE: standard output holds the archive", { command });
}

function readDiff(id: string, words: Words): Command {
  const summary = words.has("summary");
  const stray = summary ? ARCHIVE_OPTIONS.find((name) => words.names(name)) : undefined;
  if (stray !== undefined) {
    throw new UsageError(`--summary and --${stray} exclude each other: there is no archive`, { command: "diff" });
  }
  const compression = chosen(words.value("compress"), COMPRESSIONS, "--compress", "diff");
  return {
    kind: "diff",
    id,
    comparedWith: comparedWith(words),
    summary,
    output: summary ? "-" : readOutput(words, "diff"),
    compression,
    times: chosen(words.value("times"), TIMES, "--times", "diff"),
    xattrs: readXattrNamespaces(words.value("xattrs")),
    compareContent: words.has("content"),
    skipErrors: words.has("skip-errors"),
    digest: words.has("digest"),
    idMaps: readIdMaps(words, "diff"),
  };
}

function readComparison(id: string, words: Words, command: CommandName): Comparison {
  return {
    id,
    comparedWith: comparedWith(words),
    compareXattrs: words.has("xattrs"),
    compareContent: words.has("content"),
    idMaps: readIdMaps(words, command),
  };
}

function comparedWith(words: Words): string | null | undefined {
  const parent = words.value("parent");
  return parent === "" ? null : parent;
}

function readMan(words: Words): Command {
  const directory = words.value("all");
  const [word] = words.rest;
  if (word === undefined) return { kind: "man", about: undefined, directory };
  if (directory !== undefined) {
    throw new UsageError("COMMAND and --all exclude each other: DIR gets the pages of all commands", {
      command: "man",
    });
  }
  if (isCommandName(word)) return { kind: "man", about: word, directory };
  throw new UsageError(`unknown command ${JSON.stringify(word)}`, { hint: didYouMean(word, COMMAND_NAMES) });
}

function readHelpTopic(word: string | undefined): CommandName | HelpTopic | undefined {
  if (word === undefined || isCommandName(word)) return word;
  const topic = HELP_TOPICS.find((name) => name === word);
  if (topic !== undefined) return topic;
  const hint = didYouMean(word, [...COMMAND_NAMES, ...HELP_TOPICS]);
  throw new UsageError(`unknown command ${JSON.stringify(word)}`, { hint });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The commands and options of lamina. The parser, the help and the shell completions are all made from these tables.
 *
 * @module
 */

import type { DriverName } from "../drivers/registry.ts";

/** What a shell may offer for a word. */
export type Completion = "layer" | "file" | "directory" | "help" | readonly string[];

/** An option. One without `value` is a flag. */
export interface OptionSpec {
  /** Without the dashes. */
  name: string;
  /** One letter. */
  short?: string;
  /** What stands for the value in the help. */
  value?: string;
  /** It may be given several times, and all of them count. */
  repeatable?: true;
  help: string;
  completion?: Completion;
  /** The first screen of the help only names it. */
  isRare?: true;
}

/** A word that is no option. */
export interface WordSpec {
  name: string;
  optional?: true;
  repeatable?: true;
  completion?: Completion;
}

/** A command. */
export interface CommandSpec {
  group: "Layers" | "Mounts" | "Queries" | "Other";
  /** What it does, in at most 48 letters. */
  summary: string;
  words: readonly WordSpec[];
  options: readonly OptionSpec[];
  /** One command line that works. */
  example: string;
}

// A record, so that the type checker finds a driver that is missing here.
const DRIVERS: Readonly<Record<DriverName, true>> = { overlay2: true, overlay: true, "containers-overlay": true };

/** Names that `--driver` takes. */
export const DRIVER_CHOICES: readonly string[] = Object.keys(DRIVERS);

/** What `--mount-api` takes. */
export const MOUNT_API_CHOICES = ["auto", "new", "classic", "from"] as const;

/** What `--sync` takes. */
export const SYNC_CHOICES = ["none", "metadata", "full"] as const;

/** Programs that `completions` writes for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** What `diff --compress` takes. */
export const COMPRESSIONS = ["gzip", "zstd"] as const;

/** What `diff --times` takes. */
export const TIMES = ["full", "seconds"] as const;

/** Options of every command. */
export const GLOBAL_OPTIONS = [
  {
    name: "root",
    value: "DIR",
    help: "where layers live (LAMINA_ROOT, /var/lib/lamina)",
    completion: "directory",
  },
  {
    name: "run-root",
    value: "DIR",
    help: "volatile state (LAMINA_RUN_ROOT, /run/lamina)",
    completion: "directory",
  },
  {
    name: "home",
    value: "DIR",
    help: "one driver's directory, instead of --root",
    completion: "directory",
    isRare: true,
  },
  {
    name: "socket",
    value: "PATH",
    help: "have the agent that listens there do it",
    completion: "file",
    isRare: true,
  },
  { name: "driver", value: "NAME", help: "LAMINA_DRIVER, or what the store says", completion: DRIVER_CHOICES },
  {
    name: "docker-root",
    value: "DIR",
    help: "dockerd's data-root: its layers, by its names",
    completion: "directory",
    isRare: true,
  },
  { name: "storage-opt", value: "K=V", repeatable: true, help: "an option of the driver, repeatable", isRare: true },
  {
    name: "mount-api",
    value: "NAME",
    help: "how to mount: auto, new, classic or from",
    completion: MOUNT_API_CHOICES,
    isRare: true,
  },
  {
    name: "sync",
    value: "WHAT",
    help: "wait for the disk: none, metadata (default), full",
    completion: SYNC_CHOICES,
    isRare: true,
  },
  { name: "json", help: "answer in JSON" },
  { name: "quiet", help: "say nothing but errors and answers" },
  { name: "verbose", help: "say more, and show where an error comes from", isRare: true },
  { name: "help", short: "h", help: "this help, or with a command, its own" },
  { name: "version", help: "which lamina this is" },
] as const satisfies readonly OptionSpec[];

const LAYER: WordSpec = { name: "ID", completion: "layer" };
const PARENT: OptionSpec = { name: "parent", value: "ID", help: "the layer below", completion: "layer" };
const COMPARED_WITH: OptionSpec = {
  name: "parent",
  value: "ID",
  help: 'compare with this layer, or "" with nothing at all',
  completion: "layer",
};
const COMPARE_XATTRS: OptionSpec = { name: "xattrs", help: "other extended attributes count as well" };
const COMPARE_CONTENT: OptionSpec = { name: "content", help: "read files that look the same" };

const DIGEST: OptionSpec = { name: "digest", help: "print SHA-256 of the plain archive, and of it as it is" };

const ID_MAPS: readonly OptionSpec[] = [
  { name: "uid-map", value: "C:H:N", repeatable: true, help: "N users from C inside are those from H outside" },
  { name: "gid-map", value: "C:H:N", repeatable: true, help: "the same for groups; one kind stands for both" },
];

/** Commands by name. */
export const COMMANDS = {
  create: {
    group: "Layers",
    summary: "make an empty layer",
    words: [{ name: "ID" }],
    options: [
      PARENT,
      { name: "read-write", help: "to be written in, as a container does" },
      { name: "template", value: "ID", help: "begin with parent and content of this layer", completion: "layer" },
      { name: "size", value: "SIZE", help: "limit of a read-write layer: 512m, 10G" },
      ...ID_MAPS,
    ],
    example: "lamina create job-1 --parent base --read-write",
  },
  apply: {
    group: "Layers",
    summary: "fill a layer from a tar, tar.gz or tar.zst",
    words: [LAYER, { name: "FILE|-", optional: true, completion: "file" }],
    options: [
      { ...PARENT, help: "the layer below, where the layer has to be made first" },
      { name: "allow-missing-end", help: "take a tar without its two closing zero blocks" },
      DIGEST,
      { name: "xattrs", value: "NS=POLICY", repeatable: true, help: "user, …: require, best-effort or drop" },
      { name: "limit", value: "NAME=N", repeatable: true, help: "entries, bytes, …: what an archive may ask for" },
    ],
    example: "lamina apply base rootfs.tar.gz",
  },
  diff: {
    group: "Layers",
    summary: "write what a layer changes as a tar",
    words: [LAYER],
    options: [
      COMPARED_WITH,
      { name: "output", short: "o", value: "FILE|-", help: "left out or -: standard output", completion: "file" },
      { name: "compress", value: "NAME", help: "gzip or zstd", completion: COMPRESSIONS },
      { name: "times", value: "NAME", help: "full (to the nanosecond) or seconds", completion: TIMES },
      { name: "xattrs", value: "NS,NS", help: "only attributes of user, security, trusted, system" },
      COMPARE_CONTENT,
      { name: "skip-errors", help: "leave out, and list, what cannot be archived" },
      DIGEST,
    ],
    example: "lamina diff job-1 --compress zstd -o job-1.tar.zst",
  },
  remap: {
    group: "Layers",
    summary: "give the files of a layer to other ids",
    words: [LAYER],
    options: [
      ...ID_MAPS,
      { name: "from-uid-map", value: "C:H:N", repeatable: true, help: "how they are mapped now, if they are" },
      { name: "from-gid-map", value: "C:H:N", repeatable: true, help: "the same for groups" },
    ],
    example: "lamina remap job-1 --uid-map 0:100000:65536",
  },
  rm: {
    group: "Layers",
    summary: "remove layers",
    words: [{ ...LAYER, repeatable: true }],
    options: [{ name: "force", help: "unmount first; a layer that is not there is no error" }],
    example: "lamina rm job-1 base",
  },
  mount: {
    group: "Mounts",
    summary: "mount a layer and print where",
    words: [LAYER],
    options: [
      { name: "read-only", help: "nothing can be written" },
      { name: "label", value: "LABEL", help: "SELinux context" },
      {
        name: "option",
        short: "o",
        value: "OPTION",
        repeatable: true,
        help: "an overlayfs option as the kernel has it",
      },
    ],
    example: 'root=$(lamina mount job-1) && ls "$root"',
  },
  unmount: {
    group: "Mounts",
    summary: "take one mount back; the last one unmounts",
    words: [LAYER],
    options: [{ name: "force", help: "take all of them back" }],
    example: "lamina unmount job-1",
  },
  mounts: {
    group: "Mounts",
    summary: "list mounted layers and where",
    words: [],
    options: [],
    example: "lamina mounts",
  },
  cleanup: {
    group: "Mounts",
    summary: "unmount all layers of the store",
    words: [],
    options: [],
    example: "lamina cleanup",
  },
  ls: {
    group: "Queries",
    summary: "list layers",
    words: [],
    options: [],
    example: "lamina ls --json",
  },
  tree: {
    group: "Queries",
    summary: "show which layer lies on which",
    words: [],
    options: [],
    example: "lamina tree",
  },
  inspect: {
    group: "Queries",
    summary: "tell all about a layer",
    words: [LAYER],
    options: [],
    example: "lamina inspect job-1 --json",
  },
  exists: {
    group: "Queries",
    summary: "end with 0 if there is such a layer, else with 1",
    words: [LAYER],
    options: [],
    example: "lamina exists base || lamina apply base rootfs.tar.gz",
  },
  changes: {
    group: "Queries",
    summary: "list paths added (A), changed (C), deleted (D)",
    words: [LAYER],
    options: [COMPARED_WITH, COMPARE_XATTRS, COMPARE_CONTENT],
    example: "lamina changes job-1",
  },
  size: {
    group: "Queries",
    summary: "print the bytes that a layer adds or changes",
    words: [LAYER],
    options: [COMPARED_WITH, COMPARE_XATTRS, COMPARE_CONTENT],
    example: "lamina size job-1",
  },
  info: {
    group: "Queries",
    summary: "tell about driver, file system and kernel",
    words: [],
    options: [],
    example: "lamina info",
  },
  serve: {
    group: "Other",
    summary: "be the agent of a host, until SIGTERM",
    words: [],
    options: [
      { name: "docker-plugin", value: "NAME", help: "keep the layers of dockerd -s NAME" },
      {
        name: "docker-plugin-dir",
        value: "DIR",
        help: "where dockerd looks for it (/run/docker/plugins)",
        completion: "directory",
      },
      { name: "jobs", value: "N", help: "long jobs of a kind at once (as many as processors)" },
      { name: "grace", value: "SECONDS", help: "how long SIGTERM lets work go on (10)" },
    ],
    example: "lamina serve --socket /run/lamina/lamina.sock",
  },
  completions: {
    group: "Other",
    summary: "print a script for bash, zsh or fish",
    words: [{ name: "SHELL", completion: SHELLS }],
    options: [],
    example: "lamina completions bash > /etc/bash_completion.d/lamina",
  },
  version: {
    group: "Other",
    summary: "print the version",
    words: [],
    options: [],
    example: "lamina version --json",
  },
  help: {
    group: "Other",
    summary: "print this help, or that of a command",
    words: [{ name: "ABOUT", optional: true, completion: "help" }],
    options: [],
    example: "lamina help apply",
  },
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

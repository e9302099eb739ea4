// SPDX-License-Identifier: Apache-2.0

/**
 * The commands and options of lamina. The parser, the help and the shell completions are all made from these tables.
 *
 * @module
 */

import type { DriverName } from "../drivers/registry.ts";
import type { CommandSpec, OptionSpec, WordSpec } from "./command_spec.ts";

export type { CommandSpec, Completion, OptionSpec, WordSpec } from "./command_spec.ts";

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
  { name: "map-user", value: "NAME", help: "or those of /etc/subuid, /etc/subgid, from 0 on" },
];

/** Of commands that compare what was written in such a mount. */
const MOUNTED_WITH: readonly OptionSpec[] = [
  { name: "uid-map", value: "C:H:N", repeatable: true, help: "the layer is mounted with these maps" },
  { name: "gid-map", value: "C:H:N", repeatable: true, help: "the same for groups; one kind stands for both" },
  { name: "map-user", value: "NAME", help: "or with those of the user's subordinate ids" },
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
      { name: "manifest", help: "write down what is in it, for lamina verify" },
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
      ...MOUNTED_WITH,
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
      { name: "from-map-user", value: "NAME", help: "or by the user's subordinate ids" },
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
    summary: "mount a layer, or joined ones, and print where",
    words: [{ ...LAYER, repeatable: true }],
    options: [
      { name: "at", value: "DIR", help: "show at DIR; several layers as one tree", completion: "directory" },
      { name: "read-only", help: "nothing can be written" },
      { name: "label", value: "LABEL", help: "SELinux context" },
      {
        name: "option",
        short: "o",
        value: "OPTION",
        repeatable: true,
        help: "an overlayfs option as the kernel has it",
      },
      ...ID_MAPS,
    ],
    example: 'root=$(lamina mount job-1) && ls "$root"',
  },
  unmount: {
    group: "Mounts",
    summary: "take one mount back; the last one unmounts",
    words: [{ ...LAYER, optional: true }],
    options: [
      { name: "force", help: "take all of them back" },
      { name: "at", value: "DIR", help: "take down what mount --at shows at DIR", completion: "directory" },
    ],
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
    summary: "unmount all layers, remove what was interrupted",
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
    options: [COMPARED_WITH, COMPARE_XATTRS, COMPARE_CONTENT, ...MOUNTED_WITH],
    example: "lamina changes job-1",
  },
  size: {
    group: "Queries",
    summary: "print the bytes that a layer adds or changes",
    words: [LAYER],
    options: [COMPARED_WITH, COMPARE_XATTRS, COMPARE_CONTENT, ...MOUNTED_WITH],
    example: "lamina size job-1",
  },
  info: {
    group: "Queries",
    summary: "tell about driver, file system and kernel",
    words: [],
    options: [],
    example: "lamina info",
  },
  check: {
    group: "Queries",
    summary: "find what is wrong with the store",
    words: [],
    options: [
      { name: "repair", help: "repair what can be told from elsewhere" },
      { name: "deep", help: "look into all layers as well" },
    ],
    example: "lamina check --repair",
  },
  verify: {
    group: "Queries",
    summary: "compare layers with their manifests",
    words: [{ ...LAYER, optional: true, repeatable: true }],
    options: [{ name: "record", help: "make manifests of what is there now" }],
    example: "lamina verify base",
  },
  unshare: {
    group: "Mounts",
    summary: "run a program, or a shell, that may mount",
    words: [{ name: "CMD", optional: true, repeatable: true, completion: "file" }],
    options: [],
    example: "lamina unshare -- sh -c 'ls \"$(lamina mount job-1)\"'",
    notes:
      "Mounts made in it can be seen in it only, and end with it. An ordinary user is root in it, followed by the " +
      "ids of /etc/subuid and /etc/subgid if newuidmap is installed; who is root already stays what he is. Most " +
      "other commands enter such a namespace by themselves. It ends with the number that the program ends with, or " +
      "128 + N after signal N. LAMINA_ROOT and LAMINA_RUN_ROOT name the store in it: without root, and unless told " +
      "otherwise, $XDG_DATA_HOME/lamina (~/.local/share/lamina) and $XDG_RUNTIME_DIR/lamina (/tmp/lamina-UID).",
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
    example: "lamina serve --docker-plugin lamina",
    notes: "Commands with --socket have it do their work. " +
      "dockerd --experimental -s NAME keeps its layers in it, below its own data-root: --root and --home do not count. " +
      "Start lamina first. Docker 27 needs DOCKERD_DEPRECATED_GRAPHDRIVER_PLUGINS=1 in dockerd's environment; Docker 28 " +
      "and later have no such plugins. After SIGTERM running work may end, and layers stay mounted: containers do not " +
      "notice that the agent starts again. A second signal ends it at once.",
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

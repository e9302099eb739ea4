// SPDX-License-Identifier: Apache-2.0

/**
 * The commands that look at layers and stores, and those beside them.
 *
 * @module
 */

import type { CommandSpec, OptionSpec } from "./command_spec.ts";
import { SHELLS } from "./global_options.ts";
import { COMPARE_CONTENT, COMPARED_WITH, LAYER, MOUNTED_WITH } from "./shared_options.ts";

const COMPARE_XATTRS: OptionSpec = { name: "xattrs", help: "other extended attributes count as well" };

/** Commands by name. */
export const OTHER_COMMANDS = {
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
    options: [{ name: "size", help: "and how many bytes each holds; reads all of them" }],
    example: "lamina tree --size",
    notes:
      "AGE is the time since the layer's directory was made, where the file system keeps that. SIZE is that of a layer's " +
      "own files and links, hard links once.",
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
    options: [
      { name: "tree", help: "as a tree, in colours on a terminal" },
      COMPARED_WITH,
      COMPARE_XATTRS,
      COMPARE_CONTENT,
      ...MOUNTED_WITH,
    ],
    example: "lamina changes job-1 --tree",
  },
  size: {
    group: "Queries",
    summary: "print the bytes that a layer adds or changes",
    words: [LAYER],
    options: [COMPARED_WITH, COMPARE_XATTRS, COMPARE_CONTENT, ...MOUNTED_WITH],
    example: "lamina size job-1",
  },
  du: {
    group: "Queries",
    summary: "tell what layers occupy, the largest first",
    words: [{ ...LAYER, optional: true, repeatable: true }],
    options: [],
    example: "lamina du",
    notes:
      "EXCLUSIVE is what would be free without the layer; SHARED, files that have names elsewhere (hard links, as the " +
      "driver overlay makes them); ALLOCATED, both; APPARENT, what readers get, holes included. A file with several " +
      "names counts once, also in the last line. What reflinks share counts in each. What cannot be read is told, and " +
      "makes it end with 1.",
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
  man: {
    group: "Other",
    summary: "print a manual page",
    words: [{ name: "COMMAND", optional: true, completion: "command" }],
    options: [{ name: "all", value: "DIR", help: "write the pages of all commands there", completion: "directory" }],
    example: "lamina man --all /usr/local/share/man/man1",
    notes: "lamina man mount | man -l - shows a page that is not installed.",
    isRare: true,
  },
  completions: {
    group: "Other",
    summary: "print a script for bash, zsh or fish",
    words: [{ name: "SHELL", completion: SHELLS }],
    options: [],
    example: "lamina completions bash > /etc/bash_completion.d/lamina",
    isRare: true,
  },
  version: {
    group: "Other",
    summary: "print the version",
    words: [],
    options: [],
    example: "lamina version --json",
    isRare: true,
  },
  help: {
    group: "Other",
    summary: "print this help, or that of a command",
    words: [{ name: "ABOUT", optional: true, completion: "help" }],
    options: [],
    example: "lamina help apply",
    isRare: true,
  },
} as const satisfies Readonly<Record<string, CommandSpec>>;

// SPDX-License-Identifier: Apache-2.0

import { assertEquals, assertThrows } from "@std/assert";
import { parseCommandLine } from "../../lib/cli/args.ts";
import type { CommandLine, Settings } from "../../lib/cli/command.ts";
import { DRIVER_CHOICES } from "../../lib/cli/usage.ts";
import { UsageError } from "../../lib/cli/usage_error.ts";

const DEFAULTS: Settings = {
  root: undefined,
  runRoot: undefined,
  home: undefined,
  socket: undefined,
  driver: undefined,
  dockerRoot: undefined,
  storageOptions: [],
  mountApi: undefined,
  sync: undefined,
  json: false,
  quiet: false,
  verbose: false,
};

/** Reads words that are parted by blanks; `''` stands for an empty word. */
function parse(line: string, env: Readonly<Record<string, string>> = {}): CommandLine {
  const words = line === "" ? [] : line.split(" ").map((word) => word.replaceAll("''", ""));
  return parseCommandLine(words, (name) => env[name]);
}

const ONE_MAP = [{ containerId: 0, hostId: 1000, size: 1 }];
const ONE_ID = { uidMaps: ONE_MAP, gidMaps: ONE_MAP };
const CREATE = {
  kind: "create",
  id: "a",
  parent: undefined,
  readWrite: false,
  template: undefined,
  size: undefined,
  idMaps: undefined,
} as const;
const MOUNT = {
  kind: "mount",
  ids: ["a"],
  at: undefined,
  readOnly: false,
  label: undefined,
  options: [],
  idMaps: undefined,
} as const;
const DIFF = {
  kind: "diff",
  summary: false,
  id: "a",
  comparedWith: undefined,
  output: "-",
  compression: undefined,
  times: undefined,
  xattrs: undefined,
  compareContent: false,
  skipErrors: false,
  digest: false,
  idMaps: undefined,
} as const;
const CHANGES = {
  id: "a",
  comparedWith: undefined,
  compareXattrs: false,
  compareContent: false,
  idMaps: undefined,
} as const;
const SERVE = {
  kind: "serve",
  dockerPlugin: "lamina",
  dockerPluginDir: "/run/docker/plugins",
  mostJobs: undefined,
  graceMs: 10_000,
} as const;
const APPLY = {
  kind: "apply",
  id: "a",
  file: "-",
  parent: undefined,
  allowMissingEnd: false,
  digest: false,
  manifest: false,
  xattrs: {},
  limits: {},
} as const;

const COMMAND_CASES: readonly [line: string, command: CommandLine["command"]][] = [
  ["create a", CREATE],
  ["create 0123", { ...CREATE, id: "0123" }],
  ["create true", { ...CREATE, id: "true" }],
  ["create --read-write true", { ...CREATE, id: "true", readWrite: true }],
  ["create a --parent b --size 10G --read-write", { ...CREATE, parent: "b", size: "10G", readWrite: true }],
  ["create a --parent=1", { ...CREATE, parent: "1" }],
  ["create a --parent ''", CREATE],
  ["create a --parent b --parent c", { ...CREATE, parent: "c" }],
  ["create a --template t", { ...CREATE, template: "t" }],
  [
    "create a --uid-map 0:1000:1 --uid-map 1:2000:9",
    {
      ...CREATE,
      idMaps: {
        uidMaps: [{ containerId: 0, hostId: 1000, size: 1 }, { containerId: 1, hostId: 2000, size: 9 }],
        gidMaps: [{ containerId: 0, hostId: 1000, size: 1 }, { containerId: 1, hostId: 2000, size: 9 }],
      },
    },
  ],
  ["apply a", APPLY],
  ["apply a -", APPLY],
  ["apply a f.tar --parent b", { ...APPLY, file: "f.tar", parent: "b" }],
  ["apply a --allow-missing-end", { ...APPLY, allowMissingEnd: true }],
  ["apply a --digest", { ...APPLY, digest: true }],
  ["apply a --xattrs user=drop --xattrs system=best-effort --limit bytes=2k --limit entries=7", {
    ...APPLY,
    xattrs: { user: "drop", system: "best-effort" },
    limits: { bytes: 2048, entries: 7 },
  }],
  ["apply --parent b -- a --odd", { ...APPLY, file: "--odd", parent: "b" }],
  ["diff a --digest", { ...DIFF, digest: true }],
  ["diff a --times seconds --xattrs user,security --skip-errors", {
    ...DIFF,
    times: "seconds",
    xattrs: ["user", "security"],
    skipErrors: true,
  }],
  ["diff a", DIFF],
  ["diff a -o -", DIFF],
  ["diff a -o out", { ...DIFF, output: "out" }],
  ["diff a -oout", { ...DIFF, output: "out" }],
  ["diff a --output=out --compress zstd", { ...DIFF, output: "out", compression: "zstd" }],
  ["diff a --parent b", { ...DIFF, comparedWith: "b" }],
  ["diff a --parent ''", { ...DIFF, comparedWith: null }],
  ["diff a --parent=", { ...DIFF, comparedWith: null }],
  ["changes a", { ...CHANGES, kind: "changes", tree: false }],
  ["changes a --xattrs", { ...CHANGES, kind: "changes", tree: false, compareXattrs: true }],
  ["changes a --content", { ...CHANGES, kind: "changes", tree: false, compareContent: true }],
  ["changes a --tree", { ...CHANGES, kind: "changes", tree: true }],
  ["diff a --summary", { ...DIFF, summary: true }],
  ["size a --parent ''", { ...CHANGES, kind: "size", comparedWith: null }],
  ["remap a --uid-map 0:1000:1", { kind: "remap", id: "a", from: undefined, to: ONE_ID }],
  ["remap a --from-gid-map 0:1000:1", { kind: "remap", id: "a", from: ONE_ID, to: undefined }],
  ["rm a b 7", { kind: "rm", ids: ["a", "b", "7"], force: false }],
  ["rm --force a", { kind: "rm", ids: ["a"], force: true }],
  ["mount a", MOUNT],
  ["mount a --uid-map 0:1000:1", { ...MOUNT, idMaps: ONE_ID }],
  ["mount a --map-user dockremap", { ...MOUNT, idMaps: { user: "dockremap" } }],
  ["diff a --gid-map 0:1000:1", { ...DIFF, idMaps: ONE_ID }],
  ["changes a --map-user 1000", { ...CHANGES, kind: "changes", tree: false, idMaps: { user: "1000" } }],
  ["remap a --from-map-user b", { kind: "remap", id: "a", from: { user: "b" }, to: undefined }],
  ["mount a -o volatile -o xino=on", { ...MOUNT, options: ["volatile", "xino=on"] }],
  ["mount a --read-only --label=-x", { ...MOUNT, readOnly: true, label: "-x" }],
  ["mount a b --at /srv/web", { ...MOUNT, ids: ["a", "b"], at: "/srv/web" }],
  ["mount a --at=-dir", { ...MOUNT, at: "-dir" }],
  ["unmount --at /srv/web", { kind: "unmount", at: "/srv/web" }],
  ["unmount a --force", { kind: "unmount", id: "a", force: true }],
  ["inspect a", { kind: "inspect", id: "a" }],
  ["exists a", { kind: "exists", id: "a" }],
  ["mounts", { kind: "mounts" }],
  ["ls", { kind: "ls" }],
  ["tree --size", { kind: "tree", sizes: true }],
  ["man --all dir", { kind: "man", about: undefined, directory: "dir" }],
  ["man rm", { kind: "man", about: "rm", directory: undefined }],
  ["du a b", { kind: "du", ids: ["a", "b"] }],
  ["info", { kind: "info" }],
  ["cleanup", { kind: "cleanup" }],
  ["serve", { ...SERVE, dockerPlugin: undefined }],
  ["unshare", { kind: "unshare", program: [] }],
  ["unshare -- sh -c x --json", { kind: "unshare", program: ["sh", "-c", "x", "--json"] }],
  ["serve --docker-plugin lamina", SERVE],
  ["serve --docker-plugin lamina --jobs 1 --grace 0", { ...SERVE, mostJobs: 1, graceMs: 0 }],
  ["serve --docker-plugin a_b.c-1 --docker-plugin-dir /d", {
    ...SERVE,
    dockerPlugin: "a_b.c-1",
    dockerPluginDir: "/d",
  }],
  ["completions fish", { kind: "completions", shell: "fish" }],
  ["version", { kind: "version" }],
  ["--version", { kind: "version" }],
  ["ls --version", { kind: "version" }],
  ["help", { kind: "help", about: undefined }],
  ["--help", { kind: "help", about: undefined }],
  ["-h", { kind: "help", about: undefined }],
  ["help options", { kind: "help", about: "options" }],
  ["help diff", { kind: "help", about: "diff" }],
  ["diff --help", { kind: "help", about: "diff" }],
  ["--help diff", { kind: "help", about: "diff" }],
];

for (const [line, command] of COMMAND_CASES) {
  Deno.test(`parseCommandLine() reads: lamina ${line}`, () => {
    assertEquals(parse(line), { command, settings: DEFAULTS });
  });
}

const SETTINGS_CASES: readonly [line: string, settings: Partial<Settings>, env?: Readonly<Record<string, string>>][] = [
  ["--root /r --json ls", { root: "/r", json: true }],
  ["ls --root /r --json", { root: "/r", json: true }],
  ["--root /r ls --root /s", { root: "/s" }],
  ["--json ls --quiet", { json: true, quiet: true }],
  ["--storage-opt a=1 ls --storage-opt b=2", { storageOptions: ["a=1", "b=2"] }],
  ["--mount-api classic --driver overlay2 --verbose ls", {
    mountApi: "classic",
    driver: "overlay2",
    verbose: true,
  }],
  ["ls", { root: "/e", runRoot: "/f", driver: "overlay2" }, {
    LAMINA_ROOT: "/e",
    LAMINA_RUN_ROOT: "/f",
    LAMINA_DRIVER: "overlay2",
  }],
  ["ls", {}, { LAMINA_ROOT: "", LAMINA_DRIVER: "" }],
  ["ls --root /r --run-root /q", { root: "/r", runRoot: "/q" }, { LAMINA_ROOT: "/e", LAMINA_RUN_ROOT: "/f" }],
  ["ls --home /h", { home: "/h" }, { LAMINA_ROOT: "/e" }],
  ["ls --docker-root /d", { dockerRoot: "/d", root: "/d" }, { LAMINA_ROOT: "/e" }],
  ["ls --docker-root /d --root /r", { dockerRoot: "/d", root: "/r" }],
  ["ls --docker-root /d --home /h", { dockerRoot: "/d", home: "/h" }],
];

for (const [line, settings, env] of SETTINGS_CASES) {
  Deno.test(`parseCommandLine() finds the settings of: ${Object.keys(env ?? {}).join(" ")} lamina ${line}`, () => {
    assertEquals(parse(line, env), { command: { kind: "ls" }, settings: { ...DEFAULTS, ...settings } });
  });
}

const WRONG_CASES: readonly [line: string, message: string, hint?: string][] = [
  ["", "there is no command"],
  ["--json", "there is no command"],
  ["--", "there is no command"],
  ["mout a", 'unknown command "mout"', 'did you mean "mount"?'],
  ["frobnicate", 'unknown command "frobnicate"'],
  ["help appyl", 'unknown command "appyl"', 'did you mean "apply"?'],
  ["constructor", 'unknown command "constructor"'],
  ["--frob ls", 'unknown option "--frob"'],
  ["ls --jsn", 'unknown option "--jsn" for "lamina ls"', 'did you mean "--json"?'],
  ["ls -x", 'unknown option "-x" for "lamina ls"'],
  ["ls --force", 'unknown option "--force" for "lamina ls"'],
  ["ls --__proto__=x", 'unknown option "--__proto__" for "lamina ls"'],
  ["--parent b create a", 'unknown option "--parent"'],
  ["ls --no-json", 'unknown option "--no-json" for "lamina ls"'],
  ["ls --opt.size=1", 'unknown option "--opt.size" for "lamina ls"'],
  ["ls --json=yes", "option --json takes no value"],
  ["ls --root", "option --root needs a value: --root DIR"],
  [
    "mount a --label -x",
    "option --label needs a value: --label LABEL",
    'a value that begins with "-" is written --label=VALUE',
  ],
  ["create", '"lamina create" needs ID'],
  ["mount --at /srv/web", '"lamina mount" needs ID'],
  [
    "mount a b",
    "several layers need --at: they are joined at a place of your choice",
    "to mount each at its own place, call mount for each",
  ],
  [
    "mount a --at /srv/web --map-user b",
    "--at and id maps exclude each other: a view has the owners of the layer's own mount",
    "mount the layer with the maps first, and then --at DIR",
  ],
  ["unmount", '"lamina unmount" needs ID, or --at DIR'],
  ["unmount a --at /srv/web", "ID and --at exclude each other: a view is taken down by its place alone"],
  ["unmount --force --at /srv/web", "--force and --at exclude each other: a view is taken down by its place alone"],
  [
    "remap a",
    '"lamina remap" needs --uid-map, --gid-map, --map-user or one that begins with --from-',
    "--uid-map 0:100000:65536 gives the container's root the id 100000 on the host",
  ],
  ["mount a --map-user b --gid-map 0:1000:1", "--map-user and --uid-map or --gid-map exclude each other"],
  [
    "remap a --from-uid-map x",
    'option --from-uid-map: Cannot read "x" as an id map',
    "write CONTAINER:HOST:SIZE, three numbers below 2^32: 0:100000:65536",
  ],
  ["rm", '"lamina rm" needs ID'],
  ["completions", '"lamina completions" needs SHELL'],
  ["completions tcsh", '"lamina completions" does not take "tcsh"', "it takes bash, zsh, fish"],
  ["--socket /s --root /r ls", "--socket and --root exclude each other: the agent has opened its store"],
  ["ls --storage-opt a=b --socket /s", "--socket and --storage-opt exclude each other: the agent has opened its store"],
  [
    "serve --docker-plugin ../x",
    '--docker-plugin does not take "../x"',
    "it takes letters, digits, '_', '.' and '-', the first one a letter or digit",
  ],
  ["serve --docker-plugin a --jobs 0", '--jobs does not take "0"', "it takes a whole number from 1 to 999999"],
  ["serve --docker-plugin a --grace 1s", '--grace does not take "1s"', "it takes a whole number from 0 to 999999"],
  ["create a b", 'unexpected word "b" for "lamina create"'],
  ["ls a", 'unexpected word "a" for "lamina ls"'],
  ["ls --driver btrfs", '--driver does not take "btrfs"', `it takes ${DRIVER_CHOICES.join(", ")}`],
  ["ls --mount-api news", '--mount-api does not take "news"', "it takes auto, new, classic, from"],
  ["diff a -o f --compress xz", '--compress does not take "xz"', "it takes gzip, zstd"],
  ["diff a --json", "--json needs -o FILE: standard output holds the archive"],
  ["ls --root /a --home /b", "--root and --home exclude each other: a home is one driver's directory below a root"],
  [
    "create a --template t --parent p",
    "--template and --parent exclude each other: the copy has the template's parent",
  ],
  ["create a --template t --read-write", "--template and --read-write exclude each other"],
  [
    "create a --size big",
    'option --size: Cannot read "big" as a size',
    "write a number with an optional unit k, m, g, t or p: 512m, 10G, 1.5GiB",
  ],
  [
    "create a --gid-map 0:1",
    'option --gid-map: Cannot read "0:1" as an id map',
    "write CONTAINER:HOST:SIZE, three numbers below 2^32: 0:100000:65536",
  ],
];

for (const [line, message, hint] of WRONG_CASES) {
  Deno.test(`parseCommandLine() refuses: lamina ${line}`, () => {
    const error = assertThrows(() => parse(line), UsageError);
    assertEquals(error.message, message);
    assertEquals(error.hint, hint);
  });
}

Deno.test("parseCommandLine() knows whose usage to show", () => {
  assertEquals(assertThrows(() => parse("create"), UsageError).command, "create");
  assertEquals(assertThrows(() => parse("mout"), UsageError).command, undefined);
});

// SPDX-License-Identifier: Apache-2.0

/**
 * What a command line may ask for: one of a closed set of commands, each with what it needs to know.
 *
 * @module
 */

import type { ApplyOptions, XattrNamespace } from "../drivers/driver.ts";
import type { DriverName } from "../drivers/registry.ts";
import type { CopyWords } from "./copy_place.ts";
import type { IdMapWords } from "./id_map_options.ts";
import type { ServeOptions } from "./serve_options.ts";
import type { CommandName, COMPRESSIONS, HelpTopic, MOUNT_API_CHOICES, SHELLS, SYNC_CHOICES, TIMES } from "./usage.ts";

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
export interface Comparison {
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
    /** What is in it, instead of an archive. */
    summary: boolean;
    output: string;
    compression: typeof COMPRESSIONS[number] | undefined;
    times: typeof TIMES[number] | undefined;
    xattrs: readonly XattrNamespace[] | undefined;
    compareContent: boolean;
    skipErrors: boolean;
    digest: boolean;
    idMaps: IdMapWords | undefined;
  }
  | {
    kind: "export";
    id: string;
    output: string;
    compression: typeof COMPRESSIONS[number] | undefined;
    times: typeof TIMES[number] | undefined;
    digest: boolean;
  }
  | {
    kind: "import";
    id: string;
    file: string;
    parent: string | undefined;
    digest: boolean;
    manifest: boolean;
    limits: NonNullable<ApplyOptions["limits"]>;
  }
  | {
    kind: "run";
    id: string;
    program: readonly string[];
    /** Neither of the two: the new layer is kept under a name that is made up. */
    remove: boolean;
    commit: string | undefined;
    readOnly: boolean;
    label: string | undefined;
    options: readonly string[];
  }
  | { kind: "cp" } & CopyWords
  | { kind: "squash"; id: string; newId: string; parent: string | undefined }
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
  | { kind: "changes"; tree: boolean } & Comparison
  | { kind: "size" } & Comparison
  | { kind: "inspect"; id: string }
  | { kind: "verify"; ids: readonly string[]; record: boolean }
  | { kind: "check"; repair: boolean; deep: boolean }
  | { kind: "exists"; id: string }
  | { kind: "tree"; sizes: boolean }
  | { kind: "du"; ids: readonly string[] }
  | { kind: "mounts" | "cleanup" | "ls" | "info" | "version" }
  | { kind: "unshare"; program: readonly string[] }
  | { kind: "serve" } & ServeOptions
  | { kind: "man"; about: CommandName | undefined; directory: string | undefined }
  | { kind: "completions"; shell: typeof SHELLS[number] }
  | { kind: "help"; about: CommandName | HelpTopic | undefined };

/** The command of one kind. */
export type CommandOf<Kind extends CommandName> = Extract<Command, { kind: Kind }>;

/** What a command line says. */
export interface CommandLine {
  command: Command;
  settings: Settings;
}

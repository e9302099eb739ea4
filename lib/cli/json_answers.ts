// SPDX-License-Identifier: Apache-2.0

/**
 * What each command answers with `--json`, as the manual pages tell it. Fields are only ever added.
 *
 * @module
 */

import type { CommandName } from "./usage.ts";

/** A field and what it says. `a.b` is a field of an object, `a[].b` one of each object of a list; one that ends in `?` is not always there. */
export type JsonField = readonly [name: string, meaning: string];

/** An answer: an object, or a list of them. */
export interface JsonAnswer {
  isList?: true;
  fields: readonly JsonField[];
  /** When it is something else. */
  note?: string;
}

const ID: JsonField = ["id", "the layer"];
const LAYER: readonly JsonField[] = [
  ID,
  ["parent", "the id of its parent, or null"],
  ["depth", "how many layers lie below it"],
  ["mounted", "whether it is mounted"],
  ["createdAt", "when its directory was made (RFC 3339, UTC); null where the file system does not keep that"],
  ["docker?", "with --docker-root: the images and containers that it belongs to"],
];
const DIGESTS: readonly JsonField[] = [
  ["diffId?", "with --digest: SHA-256 of the plain archive"],
  ["archiveDigest?", "with --digest: SHA-256 of the archive as it was read or written"],
];
const ENTRIES: readonly JsonField[] = [
  ["entries", "entries of the archive"],
  ["bytes", "bytes of the plain archive"],
];

function usage(of: string): JsonField[] {
  return [
    [`${of}.exclusiveBytes`, "bytes on the disk that would be free without it"],
    [`${of}.sharedBytes`, "bytes on the disk of files that have names elsewhere as well"],
    [`${of}.apparentBytes`, "bytes of files and links, holes included"],
    [`${of}.allocatedBytes`, "bytes on the disk"],
  ];
}

function counts(of: string): JsonField[] {
  return [
    [`${of}?`, `with --summary: what is ${of}`],
    [`${of}.paths`, "paths"],
    [`${of}.files`, "of these, files"],
    [`${of}.directories`, "directories"],
    [`${of}.symlinks`, "symbolic links"],
    [`${of}.others`, "devices, pipes and sockets"],
    [`${of}.sizeBytes`, "bytes of files and links, hard links once"],
  ];
}

const FILLED: readonly JsonField[] = [
  ID,
  ...ENTRIES,
  ["sizeBytes", "bytes of the layer's files, hard links once"],
  ["droppedXattrs", "extended attributes that were left out: name and reason"],
  ["unsetOwners", "files that did not get their owner, where the driver's options pass that over"],
  ...DIGESTS,
];

/** By command; those that are left undefined have nothing to say in JSON. */
export const JSON_ANSWERS: Readonly<Record<CommandName, JsonAnswer | undefined>> = {
  create: { fields: [ID] },
  apply: { fields: FILLED },
  import: { fields: FILLED },
  squash: { fields: FILLED },
  export: {
    fields: [
      ID,
      ...ENTRIES,
      ["skippedSockets", "paths of sockets, which no archive holds"],
      ["skipped", "path and reason of what was left out"],
      ...DIGESTS,
    ],
  },
  cp: { fields: ENTRIES },
  run: {
    fields: [["id", "the layer that is kept, or null"], ["code", "what the program ended with"]],
    note: "It comes after all that the program printed.",
  },
  diff: {
    fields: [
      ID,
      ["entries?", "entries of the archive"],
      ["bytes?", "bytes of the plain archive"],
      ["skippedSockets?", "paths of sockets, which no archive holds"],
      ["skipped?", "with --skip-errors: path and reason of what was left out"],
      ...DIGESTS,
      ...counts("added"),
      ...counts("changed"),
      ["deleted?", "with --summary: what is deleted"],
      ["deleted.paths", "paths"],
      ["largest?", "with --summary: the largest ten files"],
      ["largest[].path", "its path"],
      ["largest[].kind", "add or modify"],
      ["largest[].sizeBytes", "its bytes"],
    ],
  },
  remap: { fields: [ID] },
  rm: { fields: [["removed", "ids of the layers that were removed"]] },
  mount: {
    fields: [
      ["id?", "the layer, where it is mounted at its own place"],
      ["ids?", "with --at: the layers, uppermost first"],
      ["path", "where"],
      ["readOnly?", "with --at: whether nothing can be written"],
    ],
  },
  unmount: {
    fields: [
      ["id?", "the layer"],
      ["mounted?", "whether it still is"],
      ["at?", "with --at: the directory"],
      ["unmounted?", "with --at: whether anything was mounted there"],
    ],
  },
  mounts: {
    isList: true,
    fields: [
      ["id", "the layer; of joined ones the uppermost"],
      ["path", "where"],
      ["ids?", "of what mount --at shows: all its layers"],
      ["readOnly?", "of what mount --at shows: whether nothing can be written"],
    ],
  },
  cleanup: {
    fields: [
      ["unmounted", "ids of the layers that were mounted"],
      ["views", "places at which layers were shown"],
      ["removed", "names of what interrupted commands had left"],
    ],
  },
  unshare: undefined,
  ls: { isList: true, fields: LAYER },
  tree: {
    isList: true,
    fields: [
      ...LAYER,
      ["sizeBytes", "with --size: bytes of its files and links, hard links once; else null"],
      ["children", "the layers that lie on it, with the same fields"],
    ],
  },
  inspect: {
    fields: [
      ...LAYER,
      ["driver", "the driver of the store"],
      ["sizeBytes", "bytes that it adds or changes"],
      ["upperDir", "the layer's own content"],
      ["workDir", "the kernel's scratch directory"],
      ["mergedDir", "where it is mounted"],
      ["lowerDirs", "the contents of the layers below, uppermost first"],
      ["quota?", "the limit on its size: projectId, limitBytes (0 is none), usedBytes"],
    ],
  },
  exists: { fields: [["id", "as it was asked for"], ["exists", "whether there is such a layer"]] },
  changes: {
    isList: true,
    fields: [["path", "absolute in the layer"], ["kind", "add, modify or delete"]],
  },
  size: { fields: [ID, ["sizeBytes", "bytes that it adds or changes"]] },
  du: {
    fields: [
      ["layers[].id", "a layer; the one with most exclusive bytes comes first"],
      ...usage("layers[]"),
      ["layers[].unreadable", "path and reason of what could not be read, and is not in the figures"],
      ...usage("total"),
    ],
  },
  info: {
    fields: [
      ["version", "of lamina"],
      ["driver", "the driver"],
      ["home", "the directory of its layers"],
      ["status[].name", "what the driver found out"],
      ["status[].value", "and how it is"],
    ],
  },
  check: {
    isList: true,
    fields: [
      ["code", "what kind of finding it is"],
      ["kind", "damage, or note"],
      ["layer?", "the layer"],
      ["path", "what is wrong"],
      ["problem", "what is wrong with it"],
      ["action", "what was done, or is to be done, about it"],
      ["repairable", "whether --repair repairs it"],
      ["repaired", "whether it did"],
      ["failure?", "why it could not"],
      ["sizeBytes?", "bytes that it holds"],
    ],
  },
  verify: {
    isList: true,
    fields: [
      ["id", "a layer that has a manifest"],
      ["differences[].path", "what is not as the manifest says"],
      ["differences[].change", "what about it"],
    ],
    note: "With --record it is an object whose field recorded holds the ids.",
  },
  serve: undefined,
  man: undefined,
  completions: undefined,
  version: {
    fields: [["version", "of lamina"], ["deno", "of Deno"], ["target", "what it was compiled for"]],
  },
  help: undefined,
};

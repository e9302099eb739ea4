// SPDX-License-Identifier: Apache-2.0

/**
 * The shapes that the OpenAPI document of lamina's own API is made of.
 *
 * @module
 */

/** A piece of the document. */
export type Json = Readonly<Record<string, unknown>>;

export const text: Json = { type: "string" };
export const flag: Json = { type: "boolean" };
export const count: Json = { type: "integer", minimum: 0 };
export const numbers: Json = { type: "object", additionalProperties: count };
export const texts: Json = { type: "object", additionalProperties: text };
export const listOf = (items: Json): Json => ({ type: "array", items });
export const oneOf = (...values: string[]): Json => ({ type: "string", enum: values });
export const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });

/** An object; a name that ends in `?` can be left out. */
export function object(fields: Readonly<Record<string, Json>>): Json {
  const names = Object.keys(fields);
  return {
    type: "object",
    properties: Object.fromEntries(names.map((name) => [name.replace("?", ""), fields[name]])),
    required: names.filter((name) => !name.endsWith("?")),
  };
}

const DIGESTS = { "diffId?": text, "archiveDigest?": text };
const PROGRESS = { entries: count, bytes: count };
const TIME_OR_NULL: Json = { type: ["string", "null"], format: "date-time" };
/** Of a layer. */
export const LAYER = {
  id: text,
  parent: { type: ["string", "null"] },
  depth: count,
  mounted: flag,
  createdAt: TIME_OR_NULL,
};
/** Of where it lies. */
export const METADATA = {
  upperDir: text,
  workDir: text,
  mergedDir: text,
  lowerDirs: listOf(text),
  "quota?": object({ projectId: count, limitBytes: count, usedBytes: count }),
};
const USAGE = { exclusiveBytes: count, sharedBytes: count, apparentBytes: count, allocatedBytes: count };
const FAILURE = { code: text, message: text, "hint?": text };

/** Those that have a name. */
export const SCHEMAS: Readonly<Record<string, Json>> = {
  Failure: object(FAILURE),
  Layer: object(LAYER),
  Metadata: object(METADATA),
  Usage: object({
    layers: listOf(object({ id: text, ...USAGE, unreadable: listOf(object({ path: text, reason: text })) })),
    total: object(USAGE),
  }),
  IdMap: object({ containerId: count, hostId: count, size: count }),
  IdMaps: object({ "uidMaps?": listOf(ref("IdMap")), "gidMaps?": listOf(ref("IdMap")) }),
  Change: object({ path: text, kind: oneOf("modify", "add", "delete"), "type?": text, "sizeBytes?": count }),
  ApplyResult: object({
    ...PROGRESS,
    ...DIGESTS,
    sizeBytes: count,
    droppedXattrs: listOf(object({ name: text, reason: text })),
    unsetOwners: count,
  }),
  DiffResult: object({
    ...PROGRESS,
    ...DIGESTS,
    skippedSockets: listOf(text),
    skipped: listOf(object({ path: text, reason: text })),
  }),
  Job: object({
    name: text,
    kind: oneOf("apply", "changes", "check", "diff", "remap", "size", "usage", "verify"),
    id: text,
    state: oneOf("queued", "running", "done", "failed"),
    ...PROGRESS,
    "result?": {},
    "error?": ref("Failure"),
  }),
  View: object({ path: text, ids: listOf(text), readOnly: flag }),
  MountedView: object({ path: text, ids: listOf(text), readOnly: flag, isNew: flag }),
  Finding: object({
    code: text,
    kind: oneOf("damage", "note"),
    "layer?": text,
    path: text,
    problem: text,
    action: text,
    repairable: flag,
    repaired: flag,
    "failure?": text,
    "sizeBytes?": count,
  }),
  Event: object({
    time: { type: "string", format: "date-time" },
    event: oneOf("apply", "cleanup", "create", "diff", "mount", "remap", "remove", "unmount"),
    home: text,
    "id?": text,
    "parent?": text,
    "bytes?": count,
    seconds: { type: "number" },
    "code?": text,
  }),
};

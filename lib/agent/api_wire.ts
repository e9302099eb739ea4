// SPDX-License-Identifier: Apache-2.0

/**
 * The shapes of lamina's own API, read by the agent and written by its client: the options of a driver's methods, as
 * fields of a JSON body or of a query. Names are those of driver.ts.
 *
 * @module
 */

import type {
  ApplyOptions,
  CheckOptions,
  CompareOptions,
  CreateOptions,
  DiffOptions,
  GetOptions,
  LayerInfo,
  RemapOptions,
  UsageOptions,
  ViewOptions,
  XattrNamespace,
  XattrPolicy,
} from "../drivers/driver.ts";
import { type IdMap, type IdMaps, parseIdMap } from "../id_map.ts";
import { parseLayerId } from "../layer_id.ts";
import { choiceOf, Fields, jsonOf } from "./fields.ts";

/** The header that names a long job, so that it can be asked for. */
export const JOB_HEADER = "lamina-job";

const NAMESPACES: readonly XattrNamespace[] = ["user", "trusted", "security", "system"];
const POLICIES: readonly XattrPolicy[] = ["require", "best-effort", "drop"];
const LIMITS = ["entries", "bytes", "sizeBytes", "pathLength", "depth", "xattrBytes"] as const;

/** What is asked of `POST /v1/layers`. */
export interface CreateRequest {
  id: string;
  /** Left out, `image`: filled by an archive and then a parent of others. */
  use: "image" | "container" | "copy";
  /** Of a copy: the layer it begins with. */
  template: string | undefined;
  options: CreateOptions;
}

/** @throws {RequestError} `malformed_request`. */
export function readCreate(fields: Fields): CreateRequest {
  const [id, template] = [fields.required("id"), fields.text("template")];
  const isReadWrite = fields.flag("readWrite") ?? false;
  const options: CreateOptions = defined({
    parent: fields.text("parent"),
    idMaps: readIdMaps(fields, "idMaps"),
    storageOptions: fields.texts("storageOptions"),
    mountLabel: fields.text("mountLabel"),
  });
  return { id, use: template !== undefined ? "copy" : isReadWrite ? "container" : "image", template, options };
}

/** @throws {RequestError} `malformed_request`. */
export function readGet(fields: Fields): GetOptions {
  return defined({
    mountLabel: fields.text("mountLabel"),
    mountOptions: fields.list("mountOptions"),
    readOnly: fields.flag("readOnly"),
    idMaps: readIdMaps(fields, "idMaps"),
  });
}

/** What is asked of `POST /v1/views`. */
export interface ViewRequest {
  target: string;
  ids: string[];
  options: ViewOptions;
}

/** @throws {RequestError} `malformed_request`. */
export function readView(fields: Fields): ViewRequest {
  return {
    target: fields.required("target"),
    ids: fields.list("ids") ?? [],
    options: defined({
      mountLabel: fields.text("mountLabel"),
      mountOptions: fields.list("mountOptions"),
      readOnly: fields.flag("readOnly"),
    }),
  };
}

/** @throws {RequestError} `malformed_request`. */
export function readCheck(fields: Fields): Omit<CheckOptions, "signal"> {
  return defined({
    repair: fields.flag("repair"),
    deep: fields.flag("deep"),
    dockerRoot: fields.text("dockerRoot"),
  });
}

/** @throws {RequestError} `malformed_request`. */
export function readCompare(fields: Fields): CompareOptions {
  return defined({
    parent: readParent(fields),
    idMaps: readIdMapsOfQuery(fields),
    compareXattrs: fields.flag("compareXattrs"),
    compareContent: fields.flag("compareContent"),
    details: fields.flag("details"),
  });
}

/** @throws {RequestError} `malformed_request`. */
export function readDiff(fields: Fields): DiffOptions {
  return {
    ...readCompare(fields),
    ...defined({
      compression: fields.choice("compression", ["gzip", "zstd"]),
      digest: fields.flag("digest"),
      skipErrors: fields.flag("skipErrors"),
      times: fields.choice("times", ["full", "seconds"]),
      whole: fields.flag("whole"),
      xattrs: fields.list("xattrs")?.map((name) => choiceOf("xattrs", name, NAMESPACES)),
    }),
  };
}

/** @throws {RequestError} `malformed_request`. */
export function readApply(fields: Fields): ApplyOptions {
  const xattrs = fields.texts("xattrs");
  const limits = fields.numbers("limits");
  return defined({
    parent: readParent(fields),
    xattrs: xattrs && Object.fromEntries(
      Object.entries(xattrs).map(([name, policy]) => [
        choiceOf("xattrs", name, NAMESPACES),
        choiceOf(`xattrs.${name}`, policy, POLICIES),
      ]),
    ),
    limits: limits && Object.fromEntries(
      Object.entries(limits).map(([name, limit]) => [choiceOf("limits", name, LIMITS), limit]),
    ),
    manifest: fields.flag("manifest"),
    devices: fields.choice("devices", ["create", "refuse"]),
    allowMissingEnd: fields.flag("allowMissingEnd"),
    digest: fields.flag("digest"),
  });
}

/** In a query, an empty parent is none at all; one that is left out is the layer's own. */
function readParent(fields: Fields): string | null | undefined {
  const parent = fields.text("parent");
  return parent === "" ? null : parent;
}

/**
 * @throws {RequestError} `malformed_request`.
 * @throws {StorageError} `invalid_argument`: maps that can be none.
 */
export function readIdMaps(fields: Fields, name: string): IdMaps | undefined {
  const maps = fields.fields(name);
  if (maps === undefined) return undefined;
  const read = (kind: "uidMaps" | "gidMaps"): IdMap[] =>
    maps.fieldsList(kind).map((map) => {
      const numbers = ["containerId", "hostId", "size"].map((number) => map.number(number));
      map.refuseRest();
      return parseIdMap(numbers.join(":"));
    });
  const both: IdMaps = { uidMaps: read("uidMaps"), gidMaps: read("gidMaps") };
  maps.refuseRest();
  return both;
}

/** Maps are lists of what has fields itself, for which a query has no form: there they are JSON. */
function readIdMapsOfQuery(fields: Fields): IdMaps | undefined {
  const text = fields.text("idMaps");
  return text === undefined ? undefined : readIdMaps(Fields.ofJson({ idMaps: jsonOf("idMaps", text) }), "idMaps");
}

/** What is asked of `POST /v1/layers/{id}/owners`. */
export interface RemapRequest {
  from: IdMaps | undefined;
  to: IdMaps | undefined;
  options: Pick<RemapOptions, "mountLabel">;
}

/** @throws {RequestError} `malformed_request`. */
export function readRemap(fields: Fields): RemapRequest {
  const options = defined({ mountLabel: fields.text("mountLabel") });
  return { from: readIdMaps(fields, "from"), to: readIdMaps(fields, "to"), options };
}

/** @throws {RequestError} `malformed_request`. */
export function readUsage(fields: Fields): Pick<UsageOptions, "ids"> {
  return defined({ ids: fields.list("ids") });
}

/** A layer as JSON has it: what is not known is null, since a field that is always there is easier to ask for. */
export interface WireLayer extends Omit<LayerInfo, "parent" | "createdAt"> {
  parent: string | null;
  /** RFC 3339, UTC. */
  createdAt: string | null;
}

/** A layer on the wire. */
export function layerOnWire({ id, parent, depth, mounted, createdAt }: LayerInfo): WireLayer {
  return { id, parent: parent ?? null, depth, mounted, createdAt: createdAt?.toISOString() ?? null };
}

/** What {@linkcode layerOnWire} was given. */
export function layerFromWire({ id, parent, depth, mounted, createdAt }: WireLayer): LayerInfo {
  return {
    id,
    parent: parent ?? undefined,
    depth,
    mounted,
    // An agent of before has no such field.
    createdAt: typeof createdAt === "string" ? new Date(createdAt) : undefined,
  };
}

/** The query for options of {@linkcode readCompare}, {@linkcode readDiff} and {@linkcode readApply}. */
export function queryOf(options: CompareOptions | DiffOptions | ApplyOptions): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    if (value === undefined || name === "signal" || name === "onProgress") continue;
    if (name === "parent") query.set(name, value === null ? "" : parseLayerId(String(value)));
    else if (name === "idMaps") query.set(name, JSON.stringify(value));
    else if (Array.isArray(value)) query.set(name, value.join(","));
    else if (typeof value === "object" && value !== null) {
      for (const [key, item] of Object.entries(value)) query.set(`${name}.${key}`, String(item));
    } else query.set(name, String(value));
  }
  return query;
}

/** `fields` without those that are undefined, which is what leaving them out means. */
export function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

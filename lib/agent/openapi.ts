// SPDX-License-Identifier: Apache-2.0

/**
 * lamina's own API as an OpenAPI 3.1 document. The names of fields are those of driver.ts, which says what they mean.
 *
 * @module
 */

import { JOB_HEADER } from "./api_wire.ts";
import {
  count,
  flag,
  type Json,
  LAYER,
  listOf,
  METADATA,
  numbers,
  object,
  oneOf,
  ref,
  SCHEMAS,
  text,
  texts,
} from "./openapi_schemas.ts";

/** What a method says. */
interface Method {
  summary: string;
  description?: string;
  query?: Readonly<Record<string, Json>>;
  /** Whether it is long work, which can be given a name. */
  isJob?: true;
  body?: Json;
  /** Of the answer where it is not `application/json`. */
  type?: string;
  status?: number;
  answer: Json;
}

function method({ summary, description, query = {}, isJob, body, type, status = 200, answer }: Method): Json {
  const parameters = [
    ...Object.entries(query).map(([name, schema]) => ({ name, in: "query", schema, ...styleOf(schema) })),
    ...(isJob === undefined ? [] : [{ $ref: "#/components/parameters/job" }]),
  ];
  return {
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: body } }),
    responses: {
      [status]: { description: "Done.", content: { [type ?? "application/json"]: { schema: answer } } },
      default: { description: "Failed.", content: { "application/json": { schema: ref("Failure") } } },
    },
  };
}

/** How a value that is no plain one is written in a query: `a,b`, and `limits.bytes=5` as a name of its own. */
function styleOf({ type }: Json): Json {
  return type === "array" ? { style: "form", explode: false } : {};
}

const json = (schema: Json): Json => ({ "application/json": { schema } });

const BINARY: Json = { type: "string", format: "binary" };
const TAR = "application/octet-stream";
const PARENT: Json = { ...text, description: "The layer to compare with; left out, the own parent; empty, nothing." };
const MAPS: Json = { ...text, description: "IdMaps, as JSON." };
const COMPARISON = { parent: PARENT, idMaps: MAPS, compareXattrs: flag, compareContent: flag, details: flag };
const PIPE: Json = { ...text, description: "The archive goes through this pipe, not as a body; see /v1/pipes." };
const OF_QUERY_GROUP = "each as a field of its own: ";
const ID = object({ id: text });

const PATHS: Readonly<Record<string, Readonly<Record<string, Json>>>> = {
  "/metrics": {
    get: method({ summary: "What was done, in numbers, for Prometheus.", type: "text/plain", answer: text }),
  },
  "/v1/check": {
    post: method({
      summary: "Look for damage; with `repair`, repair it.",
      isJob: true,
      body: json(object({ "repair?": flag, "deep?": flag, "dockerRoot?": text })),
      answer: listOf(ref("Finding")),
    }),
  },
  "/v1/cleanup": { post: method({ summary: "Unmount every layer, whoever mounted it.", answer: object({}) }) },
  "/v1/events": {
    get: method({
      summary: "What happens from now on: one JSON object a line, and blank lines.",
      description: "Everything that changes a layer or a mount, tried or done, by any protocol of the agent. The " +
        "stream breaks off for who does not read as fast as it comes, and ends with the agent.",
      type: "application/x-ndjson",
      answer: ref("Event"),
    }),
  },
  "/v1/health": {
    get: method({
      summary: "Whether the store can be opened.",
      answer: object({ status: oneOf("ok"), version: text, driver: text, home: text }),
    }),
  },
  "/v1/info": {
    get: method({
      summary: "About the driver, its file system and the kernel.",
      answer: object({
        version: text,
        driver: text,
        home: text,
        supportsShifting: flag,
        status: listOf(object({ name: text, value: text })),
      }),
    }),
  },
  "/v1/jobs": {
    get: method({
      summary: "Long work that has a name: what runs, and the last that ended.",
      answer: listOf(ref("Job")),
    }),
  },
  "/v1/jobs/{name}": {
    get: method({
      summary: "How far it is, and what came of it.",
      description: "The result of a diff (its digests, what was left out) is here, and why one broke off.",
      answer: ref("Job"),
    }),
    delete: method({ summary: "End it, and wait until it has cleared away what it made.", answer: ref("Job") }),
  },
  "/v1/layers": {
    get: method({ summary: "All layers, in the order of their ids.", answer: listOf(ref("Layer")) }),
    post: method({
      summary: "Make an empty layer, or a copy of one.",
      body: json(object({
        id: text,
        "parent?": text,
        "readWrite?": flag,
        "template?": text,
        "idMaps?": ref("IdMaps"),
        "storageOptions?": texts,
        "mountLabel?": text,
      })),
      status: 201,
      answer: ID,
    }),
  },
  "/v1/layers/{id}": {
    get: method({ summary: "A layer, and where it lies.", answer: object({ ...LAYER, ...METADATA }) }),
    delete: method({
      summary: "Remove a layer; one that is not there is no error.",
      query: { force: { ...flag, description: "Unmount it first." } },
      answer: ID,
    }),
  },
  "/v1/layers/{id}/changes": {
    get: method({ summary: "Paths that it changes.", query: COMPARISON, isJob: true, answer: listOf(ref("Change")) }),
  },
  "/v1/layers/{id}/diff": {
    get: method({
      summary: "What it changes, as a tar.",
      description:
        "What fails before the first byte is answered; after it the connection breaks. Through a pipe, the " +
        "answer is a DiffResult, when the archive is whole.",
      query: {
        ...COMPARISON,
        pipe: PIPE,
        compression: oneOf("gzip", "zstd"),
        digest: flag,
        skipErrors: flag,
        times: oneOf("full", "seconds"),
        whole: flag,
        xattrs: listOf(oneOf("user", "trusted", "security", "system")),
      },
      isJob: true,
      type: TAR,
      answer: BINARY,
    }),
    put: method({
      summary: "Fill it from a tar, tar.gz or tar.zst.",
      description: "All or nothing, also where the sender goes away in the middle.",
      query: {
        parent: text,
        pipe: PIPE,
        xattrs: { ...texts, description: `${OF_QUERY_GROUP}xattrs.user=require, best-effort or drop` },
        limits: { ...numbers, description: `${OF_QUERY_GROUP}limits.bytes=1000000` },
        manifest: flag,
        devices: oneOf("create", "refuse"),
        allowMissingEnd: flag,
        digest: flag,
      },
      isJob: true,
      body: { [TAR]: { schema: BINARY } },
      answer: ref("ApplyResult"),
    }),
  },
  "/v1/layers/{id}/exists": {
    get: method({ summary: "Whether there is such a layer.", answer: object({ id: text, exists: flag }) }),
  },
  "/v1/layers/{id}/files": {
    get: method({
      summary: "A regular file of the layer itself; without a path, whether files can be read.",
      query: { path: text },
      type: TAR,
      answer: BINARY,
    }),
  },
  "/v1/layers/{id}/manifest": {
    get: method({
      summary: "What is no longer as its manifest says; null without one.",
      isJob: true,
      answer: object({
        id: text,
        differences: { type: ["array", "null"], items: object({ path: text, change: text }) },
      }),
    }),
    post: method({ summary: "Write down what is in it, with digests.", isJob: true, answer: ID }),
  },
  "/v1/layers/{id}/metadata": { get: method({ summary: "Where it lies.", answer: ref("Metadata") }) },
  "/v1/layers/{id}/mount": {
    post: method({
      summary: "Mount it, or count one more user of it.",
      body: json(object({
        "mountLabel?": text,
        "mountOptions?": listOf(text),
        "readOnly?": flag,
        "idMaps?": ref("IdMaps"),
      })),
      answer: object({ id: text, path: text }),
    }),
    delete: method({ summary: "Count one user less; the last one unmounts.", answer: ID }),
  },
  "/v1/layers/{id}/owners": {
    post: method({
      summary: "Give its files to other ids.",
      isJob: true,
      body: json(object({ "from?": ref("IdMaps"), "to?": ref("IdMaps"), "mountLabel?": text })),
      answer: ID,
    }),
  },
  "/v1/layers/{id}/size": {
    get: method({
      summary: "Bytes of the files that it adds or changes.",
      query: COMPARISON,
      isJob: true,
      answer: object({ id: text, sizeBytes: count }),
    }),
  },
  "/v1/mounts": {
    get: method({ summary: "Mounted layers, and where.", answer: listOf(object({ id: text, path: text })) }),
  },
  "/v1/pipes": {
    post: method({
      summary: "Make a pipe for one archive of a program on this host.",
      description:
        "The caller opens his end, says `pipe=NAME` when he asks for a diff or an apply, and reads or writes. " +
        "This is several times as fast as a body.",
      status: 201,
      answer: object({ name: text, path: text }),
    }),
  },
  "/v1/openapi.json": { get: method({ summary: "This document.", answer: object({}) }) },
  "/v1/sweep": {
    post: method({
      summary: "Remove what calls left that died in the middle.",
      answer: object({ removed: listOf(text) }),
    }),
  },
  "/v1/usage": {
    get: method({
      summary: "What layers occupy on the disk, hard links once.",
      query: { ids: { ...listOf(text), description: "Left out: all." } },
      isJob: true,
      answer: ref("Usage"),
    }),
  },
  "/v1/views": {
    get: method({ summary: "Layers that are shown at places of a user's choice.", answer: listOf(ref("View")) }),
    post: method({
      summary: "Show layers at a directory.",
      body: json(object({
        target: text,
        ids: listOf(text),
        "readOnly?": flag,
        "mountLabel?": text,
        "mountOptions?": listOf(text),
      })),
      answer: ref("MountedView"),
    }),
    delete: method({ summary: "Take a view down.", query: { path: text }, answer: object({ unmounted: flag }) }),
  },
};

const WORD_REGEXP = /\{(\w+)\}/;

/** The document. */
export function openapi(version: string): Json {
  const paths = Object.entries(PATHS).map(([path, methods]) => {
    const name = WORD_REGEXP.exec(path)?.[1];
    const parameters = name === undefined ? {} : { parameters: [{ name, in: "path", required: true, schema: text }] };
    return [path, { ...parameters, ...methods }];
  });
  return {
    openapi: "3.1.0",
    info: {
      title: "lamina",
      version,
      description: "Layers, their mounts and their archives, by an agent on this host.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "http://lamina", description: "On the agent's unix socket: curl --unix-socket PATH" }],
    paths: Object.fromEntries(paths),
    components: {
      schemas: SCHEMAS,
      parameters: {
        job: {
          name: JOB_HEADER,
          in: "header",
          schema: { type: "string", pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]{7,63}$" },
          description: "A name for this work that nobody else uses, by which /v1/jobs/{name} knows it.",
        },
      },
    },
  };
}

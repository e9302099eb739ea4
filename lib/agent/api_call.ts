// SPDX-License-Identifier: Apache-2.0

/**
 * A request to lamina's own API: what it is about, and what it says.
 *
 * @module
 */

import { Fields } from "./fields.ts";
import { readJsonObject, RequestError } from "./protocol.ts";

/** A request on its way through. */
export interface Call {
  request: Request;
  /** What stands in its path for `{id}` or `{name}`. */
  word: string;
  query: URLSearchParams;
  /** The agent can wait no longer. */
  end: AbortSignal;
  /** Each ends work that nobody waits for. Asked for by long work only: Deno then watches the connection. */
  signals(): AbortSignal[];
}

/** The pattern of a path, and what stands in it for a name. */
export function patternOf(pathname: string): { pattern: string; word: string } {
  const [empty, version, collection, unsafeWord, ...rest] = pathname.split("/");
  const name = collection === "layers" ? "{id}" : collection === "jobs" ? "{name}" : undefined;
  if (empty !== "" || version !== "v1" || name === undefined || unsafeWord === undefined) {
    return { pattern: pathname, word: "" };
  }
  try {
    const word = decodeURIComponent(unsafeWord);
    return { pattern: ["", version, collection, name, ...rest].join("/"), word };
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    throw new RequestError("malformed_request", `${JSON.stringify(unsafeWord)} is not escaped as a part of an address`);
  }
}

/** What `read` takes from the body, which must hold nothing else. */
export async function bodyOf<T>({ request, end }: Call, read: (fields: Fields) => T): Promise<T> {
  const fields = Fields.ofJson(await readJsonObject(request, end));
  const value = read(fields);
  fields.refuseRest();
  return value;
}

/** What `read` takes from the query, which must hold nothing else. */
export function queryFields<T>(query: URLSearchParams, read: (fields: Fields) => T): T {
  const fields = Fields.ofQuery(query);
  const value = read(fields);
  fields.refuseRest();
  return value;
}

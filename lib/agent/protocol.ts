// SPDX-License-Identifier: Apache-2.0

/**
 * What all of the agent's protocols have in common: how much of a request is read and for how long, how its fields are
 * checked, and how a failure becomes an answer. Everything that comes in is hostile until it has passed here.
 *
 * @module
 */

import { asStorageError } from "../errors.ts";
import { httpStatusOf } from "./http_status.ts";

/** Why a request is refused before any store is asked. */
export type RequestErrorCode =
  | "body_too_large"
  | "body_too_slow"
  | "job_exists"
  | "job_not_found"
  | "malformed_request"
  | "not_initialized"
  | "pipe_not_found"
  | "unknown_method"
  | "wrong_verb";

const STATUS_OF_CODE: Readonly<Record<RequestErrorCode, number>> = {
  "body_too_large": 413,
  "body_too_slow": 408,
  "job_exists": 409,
  "job_not_found": 404,
  "malformed_request": 400,
  "not_initialized": 409,
  "pipe_not_found": 404,
  "unknown_method": 404,
  "wrong_verb": 405,
};

/** A request that can never be right as it is. */
export class RequestError extends Error {
  constructor(readonly code: RequestErrorCode, message: string) {
    super(message);
    this.name = "RequestError";
  }
}

/** A failure as an answer tells it. */
export interface Failure {
  /** Of HTTP. */
  status: number;
  code: string;
  /** What was tried on what, and why it failed. */
  message: string;
  /** What can be done about it, where that is known. */
  hint?: string;
}

/** `error` for the one who asked; `action` is how the message of a failed system call begins. */
export function failureOf(error: unknown, action: string): Failure {
  if (error instanceof RequestError) {
    return { status: STATUS_OF_CODE[error.code], code: error.code, message: error.message };
  }
  const { code, message, hint } = asStorageError(error, action);
  return { status: httpStatusOf(code), code, message, ...(hint === undefined ? {} : { hint }) };
}

/** How much of a request is read, and how long it may take to come. */
export interface BodyLimits {
  bytes: number;
  milliseconds: number;
}

/** A request of JSON holds an id or two, and at most a few hundred options. */
export const BODY_LIMITS: BodyLimits = { bytes: 1024 * 1024, milliseconds: 30_000 };

/** A JSON object whose fields are not checked yet. */
export type UnsafeFields = Readonly<Record<string, unknown>>;

/**
 * The request's body, which must be a JSON object.
 *
 * @throws {RequestError} `malformed_request` for anything else, and for no body at all: Docker's client sends that when it
 * repeats a request whose connection broke; `body_too_large`; `body_too_slow`, also where
 * `end` comes first.
 */
export async function readJsonObject(
  request: Request,
  end: AbortSignal,
  limits: BodyLimits = BODY_LIMITS,
): Promise<UnsafeFields> {
  const text = new TextDecoder().decode(await readBody(request, end, limits));
  if (text.trim() === "") throw new RequestError("malformed_request", "The request has no body: send a JSON object");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RequestError("malformed_request", "The request's body is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new RequestError("malformed_request", "The request's body is not a JSON object");
  }
  return value as UnsafeFields;
}

async function readBody({ body }: Request, end: AbortSignal, limits: BodyLimits): Promise<Uint8Array> {
  if (body === null) return new Uint8Array();
  const reader = body.getReader();
  const late = Promise.withResolvers<never>();
  const giveUp = (): void => {
    late.reject(new RequestError("body_too_slow", `The request's body did not come in ${limits.milliseconds} ms`));
  };
  const timer = setTimeout(giveUp, limits.milliseconds);
  end.addEventListener("abort", giveUp, { once: true });
  if (end.aborted) giveUp();
  try {
    const chunks: Uint8Array[] = [];
    for (let bytes = 0;;) {
      const { value, done } = await Promise.race([reader.read(), late.promise]);
      if (done) return concatenated(chunks, bytes);
      bytes += value.length;
      if (bytes > limits.bytes) {
        throw new RequestError("body_too_large", `The request's body has more than ${limits.bytes} bytes`);
      }
      chunks.push(value);
    }
  } catch (error) {
    // Not awaited: a peer that stalls would stall this too.
    reader.cancel(error).catch(() => {});
    if (error instanceof RequestError) throw error;
    throw new RequestError("malformed_request", "The request's body broke off");
  } finally {
    clearTimeout(timer);
    end.removeEventListener("abort", giveUp);
  }
}

function concatenated(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/**
 * A field that is text; undefined where it is left out, null or empty, which mean the same on the wire.
 *
 * @throws {RequestError} `malformed_request`.
 */
export function textField(fields: UnsafeFields, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "string") return value;
  throw new RequestError("malformed_request", `The field ${name} is not text`);
}

/** As {@linkcode textField}, for one that must be there. */
export function requiredField(fields: UnsafeFields, name: string): string {
  const value = textField(fields, name);
  if (value !== undefined) return value;
  throw new RequestError("malformed_request", `The field ${name} is missing, or empty`);
}

/** A field that is a list; empty where it is left out or null. */
export function listField<T>(fields: UnsafeFields, name: string, read: (item: unknown) => T | undefined): T[] {
  const value = fields[name] ?? [];
  if (!Array.isArray(value)) throw new RequestError("malformed_request", `The field ${name} is not a list`);
  return value.map((item: unknown) => {
    const element = read(item);
    if (element !== undefined) return element;
    throw new RequestError("malformed_request", `The field ${name} has a wrong element`);
  });
}

/** A field that holds texts by name; undefined where it is left out or null. */
export function textsField(fields: UnsafeFields, name: string): Record<string, string> | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  const isRight = typeof value === "object" && !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === "string");
  if (isRight) return { ...value } as Record<string, string>;
  throw new RequestError("malformed_request", `The field ${name} does not hold texts by name`);
}
